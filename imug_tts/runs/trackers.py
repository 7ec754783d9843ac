"""Several trackers as one, each isolated: an exception of a tracker stops no run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from imug_tts.contracts import PlannedRun, Record, Summary, Tracker

__all__ = ["Trackers"]


class Trackers:
    """Passes every event on. A tracker that raises is reported once, and told nothing more."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = list(trackers)

    def start(self, runs: Sequence[PlannedRun]) -> None:
        self._tell(lambda tracker: tracker.start(runs))

    def call(self, run: PlannedRun) -> None:
        self._tell(lambda tracker: tracker.call(run))

    def turn(self, run: PlannedRun, record: Record, *, replayed: bool) -> None:
        self._tell(lambda tracker: tracker.turn(run, record, replayed))

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        self._tell(lambda tracker: tracker.finish(run, summary, interrupted))

    def close(self) -> None:
        self._tell(lambda tracker: tracker.close())

    def _tell(self, event: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                event(tracker)
            except Exception as error:  # whatever a tracker does, the run goes on
                self._trackers.remove(tracker)
                warnings.warn(
                    f"the tracker {type(tracker).__name__} failed and is told nothing more; the run goes on: "
                    f"{type(error).__name__}: {error}",
                    stacklevel=2,
                )
