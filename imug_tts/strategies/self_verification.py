"""Self-verification: generate, verify, and retry with feedback."""

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
"""What changes in the next round: the seed; feedback on failed points is added; the draft is added too."""


@component
class SelfVerification(Strategy):
    """Up to `max_rounds` answers of `inner`, including the first, until the judge accepts one.

    The judge accepts an answer if no point of its checklist fails; a judge without a checklist accepts by
    score. The response is the accepted answer, or else the answer with the highest score.
    """

    inner: Strategy = knob("Strategy that generates the answer of each round.")
    judge: Judge = knob("Judge that verifies each round; null for the run's judge.")
    max_rounds: int = knob("Most rounds, the first included.", default=3, ge=1)
    threshold: float = knob(
        "Least probability at which a point passes; of a verdict without points, the least score.",
        default=0.5,
        ge=0,
        le=1,
    )
    refine: Refine = knob(
        "What changes in the next round. fresh: only the seed; feedback: the failed points are added in "
        "words; edit: the draft is added too.",
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
        """Check that the judge can verify single answers, and that the generator can use the feedback."""
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
                "generator has no text for feedback; set refine=fresh"
            )
        draws_images = "image" in setting.posed and self.acts_on("image")
        if self.refine == "edit" and draws_images and not generator.draws_from_images:
            raise ConfigurationError(
                f"{self.name} has refine=edit, and the generator does not draw from images of the history; "
                "set refine=fresh or refine=feedback"
            )

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """Return the accepted or best round's answer, with all rounds and their verdicts as candidates.

        Raises:
            OutOfBudget: the budget does not allow the first round.
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
        """Return the turn for the next round, with feedback; if no point failed, only the seed changes."""
        failed = last.verdict.failed(self.threshold) if last.verdict is not None else ()
        if self.refine == "fresh" or last.output is None or not failed:
            return turn
        points = "\n".join(f"- {point.feedback}" for point in failed)
        feedback = scope.prompts("generator")["feedback"].format(failed=points)
        if self.refine == "feedback":
            return turn.note(feedback)
        draft = (Message("assistant", (last.output,)), Message("user", (Text(feedback),)))
        return replace(turn, history=turn.history + draft)
