"""A toy benchmark and a recording tracker, for tests of the engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imug_tts.contracts import (
    Backbone,
    Benchmark,
    History,
    PlannedRun,
    Record,
    Sampling,
    Scope,
    Score,
    Strategy,
    Summary,
    Tracker,
)
from imug_tts.dialogue import Image, Message, Part, Question, Sample, Text
from imug_tts.records import read_turns
from imug_tts.runs import Arm, Budget, Run, Transcript, execute
from imug_tts.testing.toys import ToyBackbone, picture

GOLD_IMAGE = picture("gold")


@dataclass(frozen=True)
class ToyBenchmark(Benchmark):
    """Dialogues of image, text, image, text turns; the score of an output is a hash of its content."""

    num_samples: int = 6
    references: bool = True
    judged: bool = False
    """Whether a model scores images: the score is derived from the length of its reply."""
    identity: str = "toy:1"

    def samples(self) -> Sequence[Sample]:
        return [self._sample(index) for index in range(self.num_samples)]

    def reference(self, sample: Sample, number: int) -> Part | None:
        if not self.references:
            return None
        return GOLD_IMAGE if number % 2 else Text("A")

    def needs_scorer(self) -> bool:
        return self.judged

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        last = outputs[-1]
        assert last is not None
        if self.judged and isinstance(last, Image):
            asked = (Message("user", (last, Text("score this"))),)
            reply = await scope.ask("scorer", asked, "text", Sampling(temperature=0.1))
            assert isinstance(reply.output, Text)
            return Score(value=len(reply.output.text) % 101 / 100, detail={"reply": reply.output.text})
        content = last.sha256 if isinstance(last, Image) else last.text
        return Score(value=sum(map(ord, content)) % 101 / 100, detail={"outputs": len(outputs)})

    def _sample(self, index: int) -> Sample:
        questions = tuple(
            Question(number, "image" if number % 2 else "text", (Text(f"turn {number} of {index}"),))
            for number in range(1, 5)
        )
        return Sample(str(index), "static_spatial", "toys", "shapes", questions)


@dataclass
class Listener(Tracker):
    """A tracker that records its events."""

    planned: int = 0
    turns: list[bool] = field(default_factory=list)
    """For each reported turn, whether it was replayed from an earlier invocation."""
    finished: list[str] = field(default_factory=list)

    def start(self, runs: Sequence[PlannedRun]) -> None:
        self.planned = sum(run.planned for run in runs)

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        self.turns.append(replayed)

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        self.finished.append(run.name)


def run(
    folder: Path,
    strategy: Strategy,
    backbone: Backbone | None = None,
    *,
    scorer: Backbone | None = None,
    transcript: Transcript | None = None,
    score_candidates: bool = True,
    benchmark: ToyBenchmark | None = None,
    history: History = "own",
    seed: int = 0,
    budget: Budget | None = None,
    journal: Path | None = None,
    in_flight: int | None = None,
    tracker: Tracker | None = None,
) -> Summary:
    """Execute a toy arm in `folder`; returns the run's summary."""
    arm = Arm(
        backbone=backbone or ToyBackbone(),
        strategy=strategy,
        benchmark=benchmark or ToyBenchmark(),
        roles={} if scorer is None else {"scorer": scorer},
        history=history,
        transcript=transcript,
        seed=seed,
        budget=budget or Budget(),
        score_candidates=score_candidates,
    )
    one = Run(
        arm=arm,
        folder=folder,
        config={"seed": seed},
    )
    (summary,) = execute(
        [one], journal=journal or folder / "journal", trackers=[tracker or Listener()], in_flight=in_flight
    )
    return summary


def records(folder: Path, *, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """The records of a run without durations, without the run's name, and without the fields `without`."""
    read = [without_durations(line.record) for line in read_turns(folder)]
    return [{key: value for key, value in record.items() if key not in without} for record in read]


def without_durations(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: v for key, v in value.items() if key not in ("seconds", "run")}
        return {key: without_durations(v) for key, v in kept.items()}
    return [without_durations(v) for v in value] if isinstance(value, list) else value
