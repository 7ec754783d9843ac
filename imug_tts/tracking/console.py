"""Progress on standard error: what runs, turns done of planned, failures, speed, time left."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imug_tts.contracts import ConfigurationError

if TYPE_CHECKING:
    from imug_tts.engine import Summary

__all__ = ["ConsoleTracker"]

_REDRAW_S = 0.1


@dataclass
class _Tally:
    """Turns of one run, or of all runs so far."""

    planned: int = 0
    done: int = 0
    computed: int = 0
    """Turns that this start worked for, as opposed to those it found done."""
    failed: int = 0
    seconds: float = 0.0
    """Time spent on runs that are over."""

    def count(self, record: Mapping[str, Any], replayed: bool) -> None:
        self.done += 1
        self.computed += not replayed
        self.failed += record["outcome"] != "scored"


@dataclass(kw_only=True)
class ConsoleTracker:
    """One line, rewritten in place on a terminal; elsewhere a line every `interval_s` seconds."""

    interval_s: float = 5.0

    _position: tuple[int, int] = field(default=(1, 1), init=False)
    _title: str = field(default="", init=False)
    _run: _Tally = field(default_factory=_Tally, init=False)
    _study: _Tally = field(default_factory=_Tally, init=False)
    _started: float = field(default=0.0, init=False)
    _shown: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not self.interval_s > 0:
            raise ConfigurationError(f"interval_s is {self.interval_s}; it must be above 0 seconds")

    def announce(self, title: str, number: int, total: int) -> None:
        self._title, self._position = title, (number, total)

    def start(self, run: str, planned: int) -> None:
        self._title = self._title or run
        self._run = _Tally(planned=planned)
        self._study.planned += planned
        self._started = self._shown = time.monotonic()
        if sys.stderr.isatty():
            self._rewrite(self._progress())

    def turn(self, record: Mapping[str, Any], replayed: bool) -> None:
        self._run.count(record, replayed)
        self._study.count(record, replayed)
        live = sys.stderr.isatty()
        if time.monotonic() - self._shown >= (_REDRAW_S if live else self.interval_s):
            self._shown = time.monotonic()
            if live:
                self._rewrite(self._progress())
            else:
                self._print(self._progress())

    def finish(self, summary: Summary) -> None:
        self._study.seconds += time.monotonic() - self._started
        scores = ", ".join(f"{modality} {score:.3f}" for modality, score in summary.scores.items())
        failed = f", {summary.failed} failed" if summary.failed else ""
        work = f"{summary.seconds:.1f} s" if self._run.computed else "nothing left to do"
        text = f"{self._head()}  {summary.scored}/{summary.planned} turns scored{failed}  {scores}  ({work})"
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        self._print(text)
        self._title = ""

    def _head(self) -> str:
        number, total = self._position
        return f"run {number}/{total}  {self._title}" if total > 1 else f"run  {self._title}"

    def _progress(self) -> str:
        run = self._run
        parts = [f"{self._head()}  {run.done}/{run.planned} turns"]
        if run.failed:
            parts.append(f"{run.failed} failed")
        seconds = time.monotonic() - self._started
        if run.computed and seconds > 0:
            rate = run.computed / seconds
            parts += [f"{rate:.1f} turns/s", f"{_clock((run.planned - run.done) / rate)} left"]
            parts += self._study_left(seconds)
        return ", ".join(parts)

    def _study_left(self, seconds: float) -> list[str]:
        """The time left for the whole study, as if the runs to come were like those so far."""
        number, total = self._position
        if total == 1:
            return []
        study = self._study
        turns = study.planned - study.done + (total - number) * study.planned / number
        return [f"study about {_clock(turns * (study.seconds + seconds) / study.computed)}"]

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
