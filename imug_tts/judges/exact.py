"""The benchmark's own scorer as the judge, an oracle: the upper bound of selection."""

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
    """Ranks candidates by the score in the report. Tables mark every arm with this judge as an oracle."""

    benchmark: Benchmark = knob("Benchmark whose scorer judges; null for the run's benchmark.")

    @property
    def name(self) -> str:
        return "exact"

    @property
    def oracle(self) -> bool:
        return True

    def check(self, setting: Setting, modalities: Sequence[Modality], layer: str) -> None:
        """Check that the run has a scoring model if the benchmark needs one."""
        del modalities
        if self.benchmark.needs_scorer() and not setting.has("scorer"):
            raise ConfigurationError(
                f"the judge of {layer} is the scorer itself, and this benchmark is scored by a model that "
                "the run does not have; choose one, e.g. judge@scorer=openai, or another judge"
            )

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Return the score of `response` as the answer to `turn`, given the outputs in the turn's history.

        Raises:
            JudgeError: the benchmark does not contain the turn, or its scorer failed.
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
    """Return the outputs of previous turns, i.e. the last parts of messages; drafts of this turn follow."""
    answers = [message.parts[-1] for message in turn.history if message.role == "assistant"]
    return tuple(answers[: turn.number - 1])


def _points(detail: Mapping[str, Any]) -> Iterator[Point]:
    """Yield the evaluation points in a score's detail; a point with less than the full grade 5 has failed."""
    for text, value in zip(detail.get("point_texts", ()), detail.get("points", ()), strict=False):
        yield Point(str(text), float(value >= 5))
