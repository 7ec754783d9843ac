"""The benchmark's own scorer as the judge: what perfect selection would reach. An oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from imug_tts.contracts import Benchmark, JudgeError, Scope
from imug_tts.dialogue import Part, Response, Sample, Turn, Verdict

__all__ = ["ExactJudge"]


@dataclass(frozen=True, kw_only=True)
class ExactJudge:
    """Ranks by the score that the report will give. Every table names such an arm an oracle."""

    benchmark: Benchmark

    @property
    def name(self) -> str:
        return "exact"

    @property
    def oracle(self) -> bool:
        return True

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Score `response` as the answer to `turn`, behind the answers that its history holds.

        Raises:
            JudgeError: the benchmark does not hold the turn, or its scorer failed.
        """
        sample = self._samples.get(turn.sample)
        if sample is None:
            raise JudgeError(f"the benchmark {self.benchmark.identity} has no sample {turn.sample!r}")
        outputs = (*_answers_before(turn), *(() if response.output is None else (response.output,)))
        if len(outputs) != turn.number:
            raise JudgeError(f"turn {turn.number} of {turn.sample} comes with {len(outputs)} answers")
        score = await self.benchmark.score(sample, outputs, scope.as_scorer())
        return Verdict(status="ok", judge=self.name, score=score.value, failed=_failed_points(score.detail))

    @cached_property
    def _samples(self) -> Mapping[str, Sample]:
        return {sample.name: sample for sample in self.benchmark.samples()}


def _answers_before(turn: Turn) -> tuple[Part, ...]:
    """The final outputs of the earlier turns: a kept plan stands before them, drafts behind."""
    answers = [message.parts[-1] for message in turn.history if message.role == "assistant"]
    return tuple(answers[: turn.number - 1])


def _failed_points(detail: Mapping[str, Any]) -> tuple[str, ...]:
    """Evaluation points below their full 5, in words, where the scorer tells them."""
    points = zip(detail.get("point_texts", ()), detail.get("points", ()), strict=False)
    return tuple(str(text) for text, value in points if value < 5)
