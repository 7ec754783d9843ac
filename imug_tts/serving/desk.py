"""Where requests of all clients meet: one strategy, one broker for each model, one journal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imug_tts.calls import Brokers, Budget, Journal, TurnScope
from imug_tts.composition import at_temperature, check_composition, label
from imug_tts.contracts import (
    Backbone,
    BackboneError,
    JudgeError,
    ModelDown,
    ModelRole,
    OutOfBudget,
    Strategy,
    models_by_role,
)
from imug_tts.dialogue import Response, Turn
from imug_tts.infer_protocol import shortened, write_response
from imug_tts.registry import model_identity
from imug_tts.serving.reading import Asked

__all__ = ["Desk", "Served"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """What answers: a strategy on a model, or on several by role."""

    backbone: Backbone
    strategy: Strategy
    roles: Mapping[ModelRole, Backbone] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    seed: int = 0

    @property
    def models(self) -> dict[ModelRole, Backbone]:
        return models_by_role(self.backbone, self.roles)

    def check(self) -> None:
        """Raises ConfigurationError when the strategy cannot work with the models."""
        check_composition(self.strategy, self.models, self.backbone.capabilities.outputs)


class Desk:
    """Answers what is asked. Calls of all who ask at the same time share the models' batches.

    Seeds follow from the history alone, so that the same request gets the same answer: from a
    client that tries again, from two clients, and, if the journal is kept, from the next server.
    """

    def __init__(self, served: Served, journal: Journal) -> None:
        """Raises ConfigurationError when the strategy cannot work with the models."""
        served.check()
        self._served = served
        self._brokers = Brokers(journal)

    @property
    def about(self) -> dict[str, str]:
        """What answers here, in words."""
        return {"model": model_identity(self._served.backbone), "strategy": label(self._served.strategy)}

    async def answer(self, asked: Asked) -> dict[str, Any]:
        """The response in the protocol's form; a turn that fails is a response with its reason.

        Raises:
            ConfigurationError: the strategy cannot work at the temperature asked for.
        """
        try:
            response = await self._respond(asked)
        except (BackboneError, JudgeError, ModelDown, OutOfBudget) as failure:
            return _failed(f"{type(failure).__name__}: {failure}")
        if response.output is None:
            return _failed("the model refused")
        return write_response(response.output)

    async def stop(self) -> None:
        """Let the batches in flight end."""
        await self._brokers.stop()

    async def _respond(self, asked: Asked) -> Response:
        served = self._served
        if asked.temperature is not None and asked.modality == "text":
            # As on official servers: the protocol's temperature is that of text; images keep their own.
            served = replace(served, strategy=at_temperature(served.strategy, asked.temperature))
            served.check()
        digest = hashlib.sha256("".join(message.digest for message in asked.history).encode()).hexdigest()
        number = sum(message.role == "user" for message in asked.history)
        turn = Turn(f"infer/{digest}", number, asked.modality, asked.history)
        scope = TurnScope.root(
            models=served.models,
            brokers=self._brokers,
            run_seed=served.seed,
            turn=turn,
            budget=served.budget,
        )
        return await served.strategy.respond(turn, scope)


def _failed(reason: str) -> dict[str, Any]:
    return {"response": {"error": shortened(reason)}}
