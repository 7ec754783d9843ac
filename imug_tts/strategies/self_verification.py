"""Draw, check, and try again with what was found wrong (Self-Verification)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from imug_tts.contracts import (
    ConfigurationError,
    Judge,
    JudgeUse,
    Models,
    OutOfBudget,
    Scope,
    Setting,
    Strategy,
)
from imug_tts.dialogue import Message, Modality, Response, Text, Turn
from imug_tts.knobs import Several, component, knob
from imug_tts.strategies._knobs import APPLIES_TO, layer_name
from imug_tts.strategies._selection import adopt, best_of, judged, score_of

__all__ = ["Refine", "SelfVerification"]

Refine = Literal["fresh", "feedback", "edit"]
"""How the next round differs: another seed; the failed points in words; the draft and the points."""


@component
class SelfVerification(Strategy):
    """Up to `max_rounds` draws of `inner`, the first included, until the judge accepts one.

    The judge accepts a draw when no point of its checklist fails; a judge without a checklist accepts by its
    score. Ends with the accepted round, else with the round of the highest score so far.
    """

    inner: Strategy = knob("How each round is made.")
    judge: Judge = knob("Verifies each round; null for the run's judge.")
    max_rounds: int = knob("Most draws, the first included.", default=3, ge=1)
    threshold: float = knob(
        "A point passes at this probability or more (a verdict without points: its score).",
        default=0.5,
        ge=0,
        le=1,
    )
    refine: Refine = knob(
        "How the next round differs. fresh: another seed; feedback: the failed points in words; edit: the "
        "draft and the points.",
        default="fresh",
    )
    applies_to: Several[Modality] = knob(APPLIES_TO, default=("image",), min_length=1)

    judge_use: ClassVar[JudgeUse] = "verifies"

    @property
    def name(self) -> str:
        return layer_name("self_verify", self.judge)

    @property
    def models(self) -> Models:
        return {}

    def acts_on(self, modality: Modality) -> bool:
        return modality in self.applies_to

    def draws(self, modality: Modality) -> int:
        return self.max_rounds if self.refine == "fresh" else 1

    def check(self, setting: Setting) -> None:
        """The judge must accept or reject one answer, and the generator must take feedback as asked."""
        if self.judge.kind != "probability":
            what = {
                "rank": "only compares several",
                "reward": "gives rewards, of which only the order counts",
            }
            raise ConfigurationError(
                f"{self.name} accepts or rejects one answer, and judge={self.judge.name} "
                f"{what[self.judge.kind]}; set judge@strategy.judge=backbone on that layer"
            )
        if self.refine != "fresh" and any(map(self.acts_on, setting.posed)):
            self._check_refinement(setting)

    def _check_refinement(self, setting: Setting) -> None:
        generator = setting.capabilities("generator")
        if not setting.prompts("generator")["feedback"]:
            raise ConfigurationError(
                f"{self.name} has refine={self.refine}, and the prompt set {generator.prompts!r} of the "
                "generator has no words for feedback; set refine=fresh"
            )
        draws_images = "image" in setting.posed and self.acts_on("image")
        if self.refine == "edit" and draws_images and not generator.draws_from_images:
            raise ConfigurationError(
                f"{self.name} has refine=edit, and the generator does not draw from images of the history; "
                "set refine=fresh or refine=feedback"
            )

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
                return adopt(self.name, rounds, number)
            attempt = self._refined(turn, rounds[-1], scope)
        return best_of(self.name, rounds, "no round was accepted")

    def _accepts(self, response: Response) -> bool:
        score, verdict = score_of(response), response.verdict
        if score is None or verdict is None:
            return False
        return not verdict.failed(self.threshold) if verdict.points else score >= self.threshold

    def _refined(self, turn: Turn, last: Response, scope: Scope) -> Turn:
        """The turn as the next round is asked; without failed points only its seed is new."""
        failed = last.verdict.failed(self.threshold) if last.verdict is not None else ()
        if self.refine == "fresh" or last.output is None or not failed:
            return turn
        points = "\n".join(f"- {point.feedback}" for point in failed)
        feedback = scope.prompts("generator")["feedback"].format(failed=points)
        if self.refine == "feedback":
            return turn.note(feedback)
        draft = (Message("assistant", (last.output,)), Message("user", (Text(feedback),)))
        return replace(turn, history=turn.history + draft)
