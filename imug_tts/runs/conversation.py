"""A dialogue without a benchmark, to try a strategy on a backbone by hand."""

from __future__ import annotations

from typing import get_args

from imug_tts.calls import Brokers, Budget, Journal, TurnScope
from imug_tts.composition import check_composition
from imug_tts.concurrency import run_blocking
from imug_tts.contracts import Backbone, ConfigurationError, Strategy, models_by_role
from imug_tts.dialogue import Message, Modality, Part, Response, Text, Turn
from imug_tts.knobs import nearest

__all__ = ["Conversation"]


class Conversation:
    """A dialogue with a backbone that answers through a strategy.

    >>> chat = Conversation(load_backbone("pocket"), Direct())          # doctest: +SKIP
    >>> chat.say("add a red star at b2", modality="image").output.pixels().shape  # doctest: +SKIP
    (64, 64, 3)
    """

    def __init__(
        self,
        backbone: Backbone,
        strategy: Strategy,
        *,
        seed: int = 0,
        budget: Budget | None = None,
        system_prompt: str | None = None,
    ) -> None:
        """Begin a dialogue; raises ConfigurationError if the strategy cannot work with the backbone."""
        for given, kind in ((backbone, Backbone), (strategy, Strategy)):
            if not isinstance(given, kind):
                example = 'load_backbone("pocket")' if kind is Backbone else "Direct()"
                raise ConfigurationError(f"{given!r} is no {kind.__name__}; give an object, e.g. {example}")
        self._models = models_by_role(backbone)
        check_composition(strategy, self._models)
        self._strategy = strategy
        self._seed = seed
        self._budget = budget or Budget()
        self._journal = Journal()
        self._turn = 0
        self.history: list[Message] = []
        if system_prompt is not None:
            self.history.append(Message("system", (Text(system_prompt),)))

    def say(self, *parts: Part | str, modality: Modality = "text") -> Response:
        """Send a user message and return the response; both enter the history.

        A model that refuses returns a response without output, whose `reason` says why.

        Raises:
            BackboneError: the model failed; the history is unchanged.
            ConfigurationError: an unknown modality.
        """
        if modality not in get_args(Modality):
            raise ConfigurationError(f"modality is {modality!r}; {nearest(modality, get_args(Modality))}")
        user = Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))
        history = (*self.history, user)
        turn = Turn("conversation", self._turn + 1, modality, history)
        response = run_blocking(self._respond(turn))
        self._turn += 1
        self.history.append(user)
        if response.output is not None:
            self.history.append(Message("assistant", response.history_parts))
        return response

    async def _respond(self, turn: Turn) -> Response:
        brokers = Brokers(self._journal)
        scope = TurnScope.root(
            models=self._models,
            brokers=brokers,
            run_seed=self._seed,
            turn=turn,
            budget=self._budget,
        )
        try:
            return await self._strategy.respond(turn, scope)
        finally:
            await brokers.stop()
