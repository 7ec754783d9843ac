"""Calls of dialogues with a lower rank go first, so that dialogues end one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from imug_tts.contracts import Candidate, PlannedRun, Record, Request
from imug_tts.judges import BackboneJudge
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import Listener, ToyBenchmark, run
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone

DIALOGUES, PAUSE_S = 12, 0.005


@dataclass
class Counting(ToyBackbone):
    """Counts its calls, and takes a little while for them."""

    made: int = field(default=0, init=False)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self.made += sum(len(request.seeds) for request in requests)
        time.sleep(PAUSE_S)
        return super().generate(requests)


@dataclass
class Ends(Listener):
    """Keeps how many calls were made when each dialogue ended."""

    model: Counting = field(default_factory=Counting)
    made: dict[str, int] = field(default_factory=dict)

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        self.made.setdefault(record["sample_id"], self.model.made)


def test_the_first_dialogue_ends_long_before_the_last(tmp_path: Path) -> None:
    ends = Ends(model=Counting(replace(CAPABILITIES, max_batch=1, concurrent_batches=2)))
    best = BestOfN(n=4, judge=BackboneJudge(), inner=Direct())
    benchmark = ToyBenchmark(num_samples=DIALOGUES)
    run(tmp_path, best, ends.model, tracker=ends, benchmark=benchmark, in_flight=DIALOGUES)
    assert ends.made["0"] < 0.35 * ends.model.made
    assert sorted(ends.made.values())[DIALOGUES // 2] < 0.8 * ends.model.made
