"""Two processes that need the same call make it once, if one of them is slightly ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imug_tts.contracts import Candidate, Request
from imug_tts.judges import BackboneJudge
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark, run
from imug_tts.testing.toys import ToyBackbone
from tests.crash.killing import journaled_calls

AHEAD_S = 0.3


@dataclass
class Slow(ToyBackbone):
    """Takes its time for every batch."""

    pause_s: float = field(default=0.03, init=False)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        time.sleep(self.pause_s)
        return super().generate(requests)


def test_candidate_0_is_what_direct_drew_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imug_tts.calls.journal._LOOK_AGAIN_S", 0.0)
    journal, benchmark = tmp_path / "journal", ToyBenchmark(num_samples=12)

    def direct() -> None:
        run(tmp_path / "direct", Direct(), Slow(), journal=journal, benchmark=benchmark, in_flight=2)

    thread = threading.Thread(target=direct)
    thread.start()
    time.sleep(AHEAD_S)
    best = BestOfN(n=2, judge=BackboneJudge(), inner=Direct())
    summary = run(tmp_path / "best", best, Slow(), journal=journal, benchmark=benchmark, in_flight=1)
    thread.join()
    assert max(journaled_calls(journal).values()) == 1
    assert summary.spent.images < summary.intrinsic.images
