"""Recorded answers: `Recorded` is a strategy that returns them, `AbsentModel` the model that gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Candidate,
    Capabilities,
    Models,
    Request,
    Scope,
    Strategy,
)
from imug_tts.dialogue import Part, Response, Turn
from imug_tts.knobs import component, knob

__all__ = ["AbsentModel", "Recorded"]


class Recorded(Strategy):
    """Answers every turn as it was answered, whatever the history; asks no model.

    Keys are sample names and turn numbers. `failures` says why a turn has no answer.
    """

    def __init__(
        self, *, model: str, answers: Mapping[tuple[str, int], Part], failures: Mapping[tuple[str, int], str]
    ) -> None:
        self._model = model
        self._answers = answers
        self._failures = failures

    @property
    def name(self) -> str:
        """What the model is called that gave the answers."""
        return self._model

    @property
    def models(self) -> Models:
        return {}

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """Repeat the answer.

        Raises:
            BackboneError: the turn has none.
        """
        del scope
        key = (turn.sample, turn.number)
        if key not in self._answers:
            raise BackboneError(self._failures.get(key, "the turn was not answered"))
        return Response(strategy=self.name, output=self._answers[key])


@component
class AbsentModel(Backbone):
    """The model that gave recorded answers: it has a name, and cannot be asked."""

    recorded: str = knob("What it is called, and a hash of what it answered.", named=True)

    @property
    def identity(self) -> str:
        return f"recorded:{self.recorded}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=True,
            draws_from_images=True,
            seeds="none",
            logits=False,
            max_batch=8,
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        raise BackboneError(f"{self.identity} is known by its recorded answers alone")
