"""Answers requests of all clients with one strategy, one broker per model, and one journal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imug_tts.calls import Brokers, Budget, Journal, TurnScope
from imug_tts.composition import all_models, at_temperature, check_composition, label
from imug_tts.contracts import (
    Backbone,
    BackboneError,
    JudgeError,
    ModelDown,
    ModelRole,
    OutOfBudget,
    Sampling,
    Strategy,
    models_by_role,
)
from imug_tts.dialogue import Response, Turn
from imug_tts.infer_protocol import shortened, write_response
from imug_tts.registry import model_identity
from imug_tts.serving.reading import InferRequest

__all__ = ["RequestHandler", "Served"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """The model and strategy that answer requests; other models may take some of the roles."""

    backbone: Backbone
    strategy: Strategy
    roles: Mapping[ModelRole, Backbone] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    seed: int = 0

    @property
    def models(self) -> dict[ModelRole, Backbone]:
        return models_by_role(self.backbone, self.roles)

    @property
    def all_models(self) -> dict[str, Backbone]:
        """Every model that may be called, by role or by the path of the judge or layer that owns it."""
        return all_models(self.strategy, self.models)

    def check(self) -> None:
        """Check that the strategy can work with the models; raises ConfigurationError if not."""
        check_composition(self.strategy, self.models, self.backbone.capabilities.outputs)


class RequestHandler:
    """Answers /infer requests. Concurrent requests share the models' batches.

    Seeds are derived from the history and the request's seed. So equal requests get equal answers: on a
    retry, from two clients and, if the journal is kept, after a restart of the server.
    """

    def __init__(self, served: Served, journal: Journal) -> None:
        """Create a handler; raises ConfigurationError if the strategy cannot work with the models."""
        served.check()
        self._served = served
        self._brokers = Brokers(journal)

    @property
    def about(self) -> dict[str, Any]:
        """The model, the strategy, and the protocol extensions (see `imug_tts.infer_protocol`)."""
        served = self._served
        return {
            "model": model_identity(served.backbone),
            "strategy": label(served.strategy),
            "seeds": served.backbone.capabilities.seeds != "none",
            "p_yes": self._has_p_yes,
        }

    @property
    def _has_p_yes(self) -> bool:
        return self._served.models["verifier"].capabilities.logits

    async def answer(self, asked: InferRequest) -> dict[str, Any]:
        """Return the response body for a request; of a failed turn it holds the reason.

        Raises:
            ConfigurationError: the strategy cannot work at the requested temperature.
        """
        try:
            if asked.yes_no and self._has_p_yes:
                return await self._answer_yes_no(asked)
            response = await self._respond(asked)
        except (BackboneError, JudgeError, ModelDown, OutOfBudget) as failure:
            return _failed(f"{type(failure).__name__}: {failure}")
        if response.output is None:
            return _failed("the model refused")
        return write_response(response.output)

    async def stop(self) -> None:
        """Finish the batches in flight."""
        await self._brokers.stop()

    async def _respond(self, asked: InferRequest) -> Response:
        served = self._served
        if asked.temperature is not None and asked.modality == "text":
            # As on official servers: the protocol's temperature applies to text, not to images.
            served = replace(served, strategy=at_temperature(served.strategy, asked.temperature))
            served.check()
        turn = _turn(asked)
        return await served.strategy.respond(turn, self._scope(asked, turn))

    async def _answer_yes_no(self, asked: InferRequest) -> dict[str, Any]:
        """Return the verifier's answer with P(yes), without the strategy: strategies return no P(yes)."""
        sampling = Sampling(temperature=asked.temperature or 0.0)
        scope = self._scope(asked, _turn(asked))
        candidate = await scope.ask("verifier", asked.history, "text", sampling, form="yes_no")
        if candidate.output is None:
            return _failed("the model refused")
        return write_response(candidate.output, candidate.p_yes)

    def _scope(self, asked: InferRequest, turn: Turn) -> TurnScope:
        served = self._served
        return TurnScope.root(
            models=served.models,
            brokers=self._brokers,
            run_seed=served.seed if asked.seed is None else asked.seed,
            turn=turn,
            budget=served.budget,
        )


def _turn(asked: InferRequest) -> Turn:
    digest = hashlib.sha256("".join(message.digest for message in asked.history).encode()).hexdigest()
    number = sum(message.role == "user" for message in asked.history)
    return Turn(f"infer/{digest}", number, asked.modality, asked.history)


def _failed(reason: str) -> dict[str, Any]:
    return {"response": {"error": shortened(reason)}}
