"""The console tracker: progress on standard error with turns, calls, problems, speed and time left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from imug_tts.contracts import PlannedRun, Record, Summary, Tracker
from imug_tts.knobs import component, knob
from imug_tts.tracking.progress import Counts, Progress
from imug_tts.tracking.steps import StepLines

__all__ = ["ConsoleTracker"]


@component
class ConsoleTracker(Tracker):
    """Bars on a terminal, otherwise a line every `interval_s` seconds; and a line for each ended run."""

    interval_s: float = knob(
        "Seconds between lines if the output is not a terminal.", default=5.0, gt=0, runtime=True
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_state", _State([], 0.0))  # the class is frozen
        object.__setattr__(self, "_steps", StepLines(self.interval_s, _print))

    def start(self, runs: Sequence[PlannedRun]) -> None:
        object.__setattr__(self, "_state", _State(runs, self.interval_s))

    def call(self, run: PlannedRun) -> None:
        self._now.progress.call(run)
        self._now.display.update()

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        self._now.progress.turn(run, record, replayed)
        if not replayed:
            self._now.display.update()

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        progress = self._now.progress
        progress.finish(run)
        if interrupted and not summary.outcomes:
            self._now.empty += 1
        else:
            self._now.display.say(f"{progress.head(run)}  {'  '.join(_result(summary, interrupted))}")

    def start_training(self, runs: Sequence[PlannedRun]) -> None:
        object.__setattr__(self, "_state", _State([], self.interval_s))
        object.__setattr__(self, "_steps", StepLines(self.interval_s, _print))

    def step(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        steps: StepLines = vars(self)["_steps"]
        steps.step(run, values)

    def close(self) -> None:
        self._now.close()

    @property
    def _now(self) -> _State:
        state: _State = vars(self)["_state"]
        return state


class _Display(Protocol):
    """An output for progress."""

    def update(self) -> None:
        """Show the changed progress."""

    def say(self, text: str) -> None:
        """Print a permanent line."""

    def close(self) -> None:
        """End the display of progress."""


class _State:
    """The progress of the runs in execution, and its display."""

    def __init__(self, runs: Sequence[PlannedRun], interval_s: float) -> None:
        self.progress = Progress(runs)
        self.display = _display(self.progress, interval_s)
        self.empty = 0
        """Number of runs that were interrupted before their first turn."""

    def close(self) -> None:
        self.display.close()
        if self.empty:
            _print(f"{self.empty} of {len(self.progress.runs)} runs have no turn yet")
            self.empty = 0


class _Lines:
    """Prints a line of progress at most every `interval_s` seconds, when an event arrives."""

    def __init__(self, progress: Progress, interval_s: float) -> None:
        self._progress = progress
        self._interval_s = interval_s
        self._shown = time.monotonic()

    def update(self) -> None:
        if time.monotonic() - self._shown >= self._interval_s:
            self._shown = time.monotonic()
            _print(_line(self._progress))

    def say(self, text: str) -> None:
        _print(text)

    def close(self) -> None:
        pass


def _display(progress: Progress, interval_s: float) -> _Display:
    is_dumb = os.environ.get("TERM", "dumb").lower() in ("dumb", "unknown", "")
    if not progress.runs or is_dumb or not sys.stderr.isatty():
        return _Lines(progress, interval_s)
    from imug_tts.tracking.bars import Bars  # rich takes longer to import than a command's help

    return Bars(progress)


def _line(progress: Progress) -> str:
    run = progress.runs[progress.latest]
    parts = [f"{progress.head(run.plan)}  {run.counts.turns:,}/{run.plan.planned:,} turns"]
    if len(progress.runs) > 1:
        parts.append(f"all {progress.counts.turns:,}/{progress.planned:,}")
    return ", ".join([*parts, *progress.details()])


def _result(summary: Summary, interrupted: bool) -> Iterator[str]:
    """Yield the result of a run in words: turns and problems, scores, time."""
    scored = f"{summary.scored:,}/{summary.planned:,} turns scored"
    yield ", ".join([scored, *Counts.of_summary(summary).problems()])
    if summary.scores:
        yield ", ".join(f"{modality} {score:.3f}" for modality, score in summary.scores.items())
    if interrupted:
        yield "(interrupted)"
    else:
        yield f"({summary.seconds:.1f} s)" if summary.seconds else "(nothing left to do)"


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
