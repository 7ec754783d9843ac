"""Send events to several trackers. An exception in a tracker does not stop a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from imug_tts.contracts import PlannedRun, Record, Summary, Tracker

__all__ = ["Trackers"]


class Trackers:
    """Forwards every event. A tracker that raises is reported once, closed, and gets no further events."""

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

    def start_training(self, runs: Sequence[PlannedRun]) -> None:
        self._tell(lambda tracker: tracker.start_training(runs))

    def step(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        self._tell(lambda tracker: tracker.step(run, values))

    def finish_training(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        self._tell(lambda tracker: tracker.finish_training(run, values))

    def close(self) -> None:
        self._tell(_close)

    def _tell(self, event: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                event(tracker)
            except Exception as error:  # an exception of a tracker must not stop the run
                self._trackers.remove(tracker)
                if event is not _close:
                    with suppress(Exception):  # close it anyway, so that it releases files or the terminal
                        tracker.close()
                warnings.warn(
                    f"the tracker {type(tracker).__name__} failed and gets no further events; "
                    f"the run continues: {type(error).__name__}: {error}",
                    stacklevel=2,
                )


def _close(tracker: Tracker) -> None:
    tracker.close()
