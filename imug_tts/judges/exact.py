"""The benchmark's own scorer as the judge: what perfect selection would reach. An oracle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from imug_tts.contracts import Benchmark, ConfigurationError, Judge, JudgeError, Scope, Setting
from imug_tts.dialogue import Modality, Part, Point, Response, Sample, Turn, Verdict
from imug_tts.knobs import component, knob

__all__ = ["ExactJudge"]


@component
class ExactJudge(Judge):
    """Ranks by the score that the report will give. Every table names such an arm an oracle."""

    benchmark: Benchmark = knob("The benchmark whose scorer judges; null for the run's.")

    @property
    def name(self) -> str:
        return "exact"

    @property
    def oracle(self) -> bool:
        return True

    def check(self, setting: Setting, modalities: Sequence[Modality], layer: str) -> None:
        """A benchmark that is scored by a model needs that model here."""
        del modalities
        if self.benchmark.needs_scorer() and not setting.has("scorer"):
            raise ConfigurationError(
                f"the judge of {layer} is the scorer itself, and this benchmark is scored by a model that "
                "the run does not have; choose one, e.g. judge@scorer=openai, or another judge"
            )

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Score `response` as the answer to `turn`, after the answers that its history holds.

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
        points = tuple(_points(score.detail))
        return Verdict(status="ok", judge=self.name, score=score.value, points=points)

    @cached_property
    def _samples(self) -> Mapping[str, Sample]:
        return {sample.name: sample for sample in self.benchmark.samples()}


def _answers_before(turn: Turn) -> tuple[Part, ...]:
    """The final outputs of the earlier turns: a kept plan stands before them, drafts after them."""
    answers = [message.parts[-1] for message in turn.history if message.role == "assistant"]
    return tuple(answers[: turn.number - 1])


def _points(detail: Mapping[str, Any]) -> Iterator[Point]:
    """The evaluation points, where the scorer tells them; one below its full 5 has failed."""
    for text, value in zip(detail.get("point_texts", ()), detail.get("points", ()), strict=False):
        yield Point(str(text), float(value >= 5))
