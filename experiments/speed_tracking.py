"""What tracking costs the study that is tracked.

`experiments/speed.py tracking_overhead` measures it beside its target.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from imug_tts.contracts import PlannedRun, Record, Summary, Tracker

__all__ = ["tracking_overhead"]


def tracking_overhead() -> float:
    """Share of a study's time that it spends on the wandb tracker, its end included: offline, two arms."""
    from imug_tts import BackboneJudge, BestOfN, Direct, PocketBackbone, PocketWorld
    from imug_tts.runs import Arm, Run, execute
    from imug_tts.tracking.wandb import WandbTracker

    backbone, benchmark = PocketBackbone(), PocketWorld(num_samples=300)
    strategies = {"direct": Direct(), "best_of_4": BestOfN(judge=BackboneJudge(), inner=Direct())}
    timed = _Timed(WandbTracker(mode="offline"))
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            Run(
                arm=Arm(backbone=backbone, strategy=strategy, benchmark=benchmark),
                folder=Path(folder, name),
                config={},
            )
            for name, strategy in strategies.items()
        ]
        started = time.perf_counter()
        execute(runs, journal=Path(folder, "journal"), trackers=[timed])
        whole = time.perf_counter() - started
    return timed.seconds / (whole - timed.seconds)


class _Timed(Tracker):
    """A tracker that counts the time that another one takes."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.seconds = 0.0

    def start(self, runs: Sequence[PlannedRun]) -> None:
        self._count(lambda: self._tracker.start(runs))

    def call(self, run: PlannedRun) -> None:
        self._count(lambda: self._tracker.call(run))

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        self._count(lambda: self._tracker.turn(run, record, replayed))

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        self._count(lambda: self._tracker.finish(run, summary, interrupted))

    def close(self) -> None:
        self._count(self._tracker.close)

    def _count(self, tell: Callable[[], None]) -> None:
        started = time.perf_counter()
        tell()
        self.seconds += time.perf_counter() - started
