"""The events that trackers receive, and that no tracker can stop a run."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from imug_tts.contracts import Candidate, PlannedRun, Record, Request, Summary, Tracker
from imug_tts.records import read_turns
from imug_tts.runs import Arm, Run, execute
from imug_tts.strategies import Direct
from imug_tts.testing.runs import ToyBenchmark, run
from imug_tts.testing.toys import ToyBackbone

EVENTS = ("start", "call", "turn", "finish", "close")


class Recording(Tracker):
    """Keeps every event."""

    def __init__(self) -> None:
        self.runs: list[PlannedRun] = []
        self.calls: Counter[str] = Counter()
        self.turns: list[tuple[str, Record, bool]] = []
        self.ends: list[tuple[str, Summary, bool]] = []
        self.closed = 0

    def start(self, runs: Sequence[PlannedRun]) -> None:
        self.runs = list(runs)

    def call(self, run: PlannedRun) -> None:
        self.calls[run.name] += 1

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        self.turns.append((run.name, record, replayed))

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        self.ends.append((run.name, summary, interrupted))

    def close(self) -> None:
        self.closed += 1


class Offline(Recording):
    """Raises at one kind of event, as a service does that cannot be reached."""

    def __init__(self, event: str) -> None:
        super().__init__()
        self.raised = 0
        method = getattr(self, event)

        def fail(*args: Any) -> None:
            method(*args)
            self.raised += 1
            raise ConnectionError("the service is away")

        setattr(self, event, fail)


@dataclass
class Interrupted(ToyBackbone):
    """Sends this process an interrupt at its tenth batch."""

    batches: int = 0

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self.batches += 1
        if self.batches == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return super().generate(requests)


def test_a_tracker_is_told_of_the_run_its_records_and_its_end(tmp_path: Path) -> None:
    tracker, backbone = Recording(), ToyBackbone()
    summary = run(tmp_path / "study" / "direct", Direct(), backbone, seed=3, tracker=tracker)
    [plan] = tracker.runs
    assert (plan.name, plan.study, plan.folder) == ("direct", "study", tmp_path / "study" / "direct")
    assert (plan.planned, plan.calls, plan.config) == (24, 24, {"seed": 3})
    assert plan.identity["seed"] == 3
    assert plan.identity["strategy"]["name"] == "direct"
    assert tracker.calls == {"direct": sum(len(request.seeds) for request in backbone.asked)}
    written = [line.record for line in read_turns(plan.folder)]
    by_turn = {(told["sample_id"], told["turn"]): told for _, told, _ in tracker.turns}
    assert by_turn == {(line["sample_id"], line["turn"]): line for line in written}
    assert tracker.ends == [("direct", summary, False)]
    assert tracker.closed == 1


def test_a_tracker_can_open_the_images_of_the_records_that_it_is_told_of(tmp_path: Path) -> None:
    sizes = []

    class Opening(Recording):
        def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
            output = record["response"]["output"]
            if "image" in output:
                with Pillow.open(run.image(output["image"])) as image:
                    sizes.append(image.size)

    run(tmp_path, Direct(), tracker=Opening())
    assert len(sizes) == 12


def test_a_complete_run_is_replayed_to_the_tracker_without_calls(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    tracker = Recording()
    run(tmp_path, Direct(), tracker=tracker)
    assert [replayed for _, _, replayed in tracker.turns] == [True] * 24
    assert not tracker.calls
    assert [interrupted for _, _, interrupted in tracker.ends] == [False]


def test_a_tracker_is_told_that_a_run_was_interrupted(tmp_path: Path) -> None:
    tracker = Recording()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Direct(), Interrupted(), tracker=tracker, in_flight=1)
    [(_, summary, interrupted)] = tracker.ends
    assert interrupted
    assert 0 < summary.scored < 24
    assert tracker.closed == 1


@pytest.mark.parametrize("event", EVENTS)
def test_a_tracker_that_raises_is_named_once_and_stops_nothing(tmp_path: Path, event: str) -> None:
    broken, sound = Offline(event), Recording()
    one = Run(
        arm=Arm(backbone=ToyBackbone(), strategy=Direct(), benchmark=ToyBenchmark()),
        folder=tmp_path / "run",
        config={},
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        [summary] = execute([one], journal=tmp_path / "journal", trackers=[broken, sound])
    [message] = [str(warning.message) for warning in caught]
    assert "the tracker Offline failed" in message
    assert message.endswith("ConnectionError: the service is away")
    assert broken.raised == broken.closed == 1
    assert summary.scored == len(sound.turns) == 24
    assert sound.ends == [("run", summary, False)]
    assert sound.closed == 1
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["scored"] == 24


def test_a_run_whose_only_tracker_raises_is_complete(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="the tracker Offline failed"):
        assert run(tmp_path, Direct(), tracker=Offline("turn")).scored == 24
