"""Draw, check, and try again with what was found wrong (Self-Verification)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from imug_tts.contracts import ConfigurationError, Judge, OutOfBudget, Scope, Strategy
from imug_tts.dialogue import Message, Modality, Response, Text, Turn
from imug_tts.strategies._knobs import at_least, layer_name, need_judge, need_modalities
from imug_tts.strategies._selection import best_of, judged, score_of

__all__ = ["Refine", "SelfVerification"]

Refine = Literal["fresh", "feedback", "edit"]
"""How the next round differs: another seed; the failed points in words; the draft and the points."""


@dataclass(frozen=True, kw_only=True)
class SelfVerification:
    """Up to `max_rounds` draws of `inner`, the first included, until the judge accepts one.

    Ends with the accepted round; else with the best so far. Never with nothing that was drawn.
    """

    inner: Strategy
    judge: Judge
    max_rounds: int = 3
    threshold: float = 0.5
    """A round is accepted at this score or above."""
    refine: Refine = "fresh"
    applies_to: tuple[Modality, ...] = ("image",)

    def __post_init__(self) -> None:
        need_judge("self_verify", self.judge)
        at_least("self_verify", "max_rounds", self.max_rounds, 1)
        need_modalities("self_verify", self.applies_to)
        if not 0 <= self.threshold <= 1:
            raise ConfigurationError(f"self_verify: threshold is {self.threshold}; set it between 0 and 1")
        if self.refine not in ("fresh", "feedback", "edit"):
            raise ConfigurationError(
                f"self_verify: refine is {self.refine!r}; set it to fresh, feedback or edit"
            )

    @property
    def name(self) -> str:
        return layer_name("self_verify", self.judge)

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """All rounds are candidates of the response, each with its verdict.

        Raises:
            OutOfBudget: nothing could be drawn at all.
            BackboneError, JudgeError: a call failed.
        """
        if turn.modality not in self.applies_to:
            return await self.inner.respond(turn, scope)
        rounds: list[Response] = []
        attempt = turn
        for number in range(self.max_rounds):
            here = scope.child(number)
            try:
                rounds.append(await self.inner.respond(attempt, here))
                rounds[-1] = await judged(self.judge, turn, rounds[-1], here)
            except OutOfBudget:
                if not rounds:
                    raise
                return best_of(self.name, rounds, f"out of budget in round {number}")
            if self._accepts(rounds[-1]):
                return best_of(self.name, rounds)
            attempt = self._refined(turn, rounds[-1], scope)
        return best_of(self.name, rounds, "no round was accepted")

    def _accepts(self, response: Response) -> bool:
        score = score_of(response)
        return score is not None and score >= self.threshold

    def _refined(self, turn: Turn, last: Response, scope: Scope) -> Turn:
        """The turn as the next round is asked; without failed points only its seed is new."""
        failed = last.verdict.failed if last.verdict is not None else ()
        if self.refine == "fresh" or last.output is None or not failed:
            return turn
        points = "\n".join(f"- {point}" for point in failed)
        feedback = scope.prompts("generator")["feedback"].format(failed=points)
        if self.refine == "feedback":
            return turn.note(feedback)
        draft = (Message("assistant", (last.output,)), Message("user", (Text(feedback),)))
        return replace(turn, history=turn.history + draft)
