"""The exact judge gives the scores of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from imug_tts.contracts import Benchmark, JudgeError, Scope, Score
from imug_tts.dialogue import Message, Part, Question, Response, Sample, Text, Turn, Verdict
from imug_tts.judges import ExactJudge
from imug_tts.testing.toys import picture, turn_of, within

SAMPLE = Sample(
    sample_id="0",
    sample_class="static_spatial",
    domain="static",
    task="toy",
    questions=(Question(1, "image", (Text("draw a star"),)), Question(2, "image", (Text("add a circle"),))),
)
DRAWN = Response(strategy="direct", output=picture("a circle"))


@dataclass
class ToyBenchmark(Benchmark):
    identity: str = "toy@1"
    score_value: Score = field(default_factory=lambda: Score(value=0.75))
    scored: list[tuple[Part | None, ...]] = field(default_factory=list, init=False)

    def samples(self) -> Sequence[Sample]:
        return [SAMPLE]

    def reference(self, sample: Sample, number: int) -> Part | None:
        return None

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        self.scored.append(tuple(outputs))
        return self.score_value


def verdict_of(benchmark: ToyBenchmark, turn: Turn, response: Response = DRAWN) -> Verdict:
    async def run(scope: Scope) -> Verdict:
        return await ExactJudge(benchmark=benchmark).judge(turn, response, scope)

    return within(run, turn)


def test_the_score_is_the_benchmarks_on_all_answers_so_far() -> None:
    benchmark = ToyBenchmark()
    verdict = verdict_of(benchmark, turn_of())
    assert verdict == Verdict(status="ok", judge="exact", score=0.75)
    assert benchmark.scored == [(picture("star"), DRAWN.output)]


def test_plans_and_drafts_in_the_history_are_no_answers() -> None:
    benchmark = ToyBenchmark()
    turn = turn_of()
    user, said, request = turn.history
    kept = Message("assistant", (Text("a plan"), *said.parts))
    draft = (Message("assistant", (picture("draft"),)), Message("user", (Text("again"),)))
    verdict_of(benchmark, replace(turn, history=(user, kept, request, *draft)))
    assert benchmark.scored == [(picture("star"), DRAWN.output)]


def test_points_below_5_are_the_failed_ones() -> None:
    score = Score(value=0.7, detail={"points": [5, 2], "point_texts": ["a star", "a circle"]})
    verdict = verdict_of(ToyBenchmark(score_value=score), turn_of())
    assert [point.text for point in verdict.failed()] == ["a circle"]


def test_it_is_an_oracle() -> None:
    judge = ExactJudge(benchmark=ToyBenchmark())
    assert (judge.name, judge.oracle) == ("exact", True)


def test_a_turn_of_another_benchmark_is_a_judge_error() -> None:
    with pytest.raises(JudgeError, match="no sample 'elsewhere'"):
        verdict_of(ToyBenchmark(), replace(turn_of(), sample="elsewhere"))
    with pytest.raises(JudgeError, match="turn 3 of static/toy/0 comes with 2 answers"):
        verdict_of(ToyBenchmark(), replace(turn_of(), number=3))
    with pytest.raises(JudgeError, match="comes with 1 answers"):
        verdict_of(ToyBenchmark(), turn_of(), Response(strategy="direct", output=None))
