"""Answers that were given elsewhere: a strategy that repeats them, and the model that is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imug_tts.contracts import BackboneError, Candidate, Capabilities, Request, Scope
from imug_tts.dialogue import Part, Response, Turn

__all__ = ["AbsentModel", "Recorded"]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Answers every turn as it was answered, whatever the history; asks no model.

    Keys are sample names and turn numbers. `failures` says why a turn has no answer.
    """

    name: str
    answers: Mapping[tuple[str, int], Part] = field(repr=False)
    failures: Mapping[tuple[str, int], str] = field(repr=False)

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """Repeat the answer.

        Raises:
            BackboneError: the turn has none.
        """
        del scope
        key = (turn.sample, turn.number)
        if key not in self.answers:
            raise BackboneError(self.failures.get(key, "the turn was not answered"))
        return Response(strategy=self.name, output=self.answers[key])


@dataclass(frozen=True, kw_only=True)
class AbsentModel:
    """The model behind recorded answers: it has a name, and answers nothing more."""

    identity: str

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
