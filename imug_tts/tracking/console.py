"""Progress on standard error: what runs, turns done of planned, failures, speed, time left."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imug_tts.contracts import ConfigurationError
from imug_tts.tracking import PlannedRun

if TYPE_CHECKING:
    from imug_tts.engine import Summary

__all__ = ["ConsoleTracker"]

_REDRAW_S = 0.1


@dataclass(kw_only=True)
class ConsoleTracker:
    """One line, rewritten in place on a terminal; elsewhere a line every `interval_s` seconds."""

    interval_s: float = 5.0

    _runs: dict[str, PlannedRun] = field(default_factory=dict, init=False)
    _current: str = field(default="", init=False)
    """The run of the latest turn."""
    _done: Counter[str] = field(default_factory=Counter, init=False)
    """Turns recorded by run, failed ones included."""
    _failed: Counter[str] = field(default_factory=Counter, init=False)
    _computed: int = field(default=0, init=False)
    """Turns that this start worked for, as opposed to those it found done."""
    _closed: int = field(default=0, init=False)
    """Turns planned after a failed one, in runs that are over: they will not come."""
    _started: float = field(default=0.0, init=False)
    _shown: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not self.interval_s > 0:
            raise ConfigurationError(f"interval_s is {self.interval_s}; it must be above 0 seconds")

    def start(self, runs: Sequence[PlannedRun]) -> None:
        self._runs = {run.name: run for run in runs}
        self._started = self._shown = time.monotonic()

    def turn(self, record: Mapping[str, Any], replayed: bool) -> None:
        run = record["run"]
        self._current = run
        self._done[run] += 1
        self._failed[run] += record["outcome"] not in ("scored", "unscored")
        if not replayed:
            self._computed += 1
            self._show()

    def finish(self, run: str, summary: Summary) -> None:
        self._closed += summary.planned - self._done[run]
        scores = ", ".join(f"{modality} {score:.3f}" for modality, score in summary.scores.items())
        failed = f", {summary.failed} failed" if summary.failed else ""
        work = f"{summary.seconds:.1f} s" if summary.seconds else "nothing left to do"
        waiting = f", {summary.unscored} wait for a scorer" if summary.unscored else ""
        turns = f"{summary.scored}/{summary.planned} turns scored{waiting}{failed}"
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        self._print(f"{self._head(run)}  {turns}  {scores}  ({work})")

    def _show(self) -> None:
        live = sys.stderr.isatty()
        if time.monotonic() - self._shown >= (_REDRAW_S if live else self.interval_s):
            self._shown = time.monotonic()
            if live:
                self._rewrite(self._progress())
            else:
                self._print(self._progress())

    def _head(self, run: str) -> str:
        number = list(self._runs).index(run) + 1
        title = self._runs[run].title
        return f"run {number}/{len(self._runs)}  {title}" if len(self._runs) > 1 else f"run  {title}"

    def _progress(self) -> str:
        run, planned = self._current, sum(each.planned for each in self._runs.values())
        done = self._done.total()
        rate = self._computed / (time.monotonic() - self._started)
        parts = [f"{self._head(run)}  {self._done[run]}/{self._runs[run].planned} turns"]
        if len(self._runs) > 1:
            parts.append(f"all {done}/{planned}")
        if self._failed.total():
            parts.append(f"{self._failed.total()} failed")
        left = _clock((planned - self._closed - done) / rate)
        return ", ".join([*parts, f"{rate:.1f} turns/s", f"about {left} left"])

    def _rewrite(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{text[:width]}")
        sys.stderr.flush()

    def _print(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _clock(seconds: float) -> str:
    """Seconds as "m:ss" or "h:mm:ss"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
