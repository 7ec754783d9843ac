"""The overhead of tracking.

`experiments/speed.py tracking_overhead tracking_cpu_overhead` compares these figures with their targets.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from imug_tts.contracts import PlannedRun, Record, Summary, Tracker

__all__ = ["tracking_cpu_overhead", "tracking_overhead"]


class _Measured(NamedTuple):
    """Seconds of a study and of its tracker: wall time and CPU time."""

    study: float
    tracker: float
    study_cpu: float
    tracker_cpu: float
    """CPU seconds of the tracker, with the processes that it starts."""


def tracking_overhead() -> float:
    """Share of a study's wall time that the wandb tracker takes, its end included: offline, two arms."""
    measured = _measured()
    return measured.tracker / measured.study


def tracking_cpu_overhead() -> float:
    """Share of a study's CPU time that the wandb tracker takes, with its processes, which run in parallel."""
    measured = _measured()
    return measured.tracker_cpu / measured.study_cpu


@cache
def _measured() -> _Measured:
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
        started, own, others = time.perf_counter(), time.process_time(), _others_cpu()
        execute(runs, journal=Path(folder, "journal"), trackers=[timed])
        whole, whole_cpu = time.perf_counter() - started, time.process_time() - own
    return _Measured(
        study=whole - timed.seconds,
        tracker=timed.seconds,
        study_cpu=whole_cpu - timed.cpu_seconds,
        tracker_cpu=timed.cpu_seconds + _others_cpu() - others,
    )


def _others_cpu() -> float:
    """CPU seconds of the ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Timed(Tracker):
    """A tracker that measures the time of another tracker."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.seconds = 0.0
        self.cpu_seconds = 0.0

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
        started, cpu_started = time.perf_counter(), time.thread_time()
        tell()
        self.seconds += time.perf_counter() - started
        self.cpu_seconds += time.thread_time() - cpu_started
