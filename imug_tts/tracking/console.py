"""Progress on standard error: what runs, turns done of planned, failures, speed, time left."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from imug_tts.contracts import PlannedRun, Record, Summary, Tracker
from imug_tts.knobs import component, knob

__all__ = ["ConsoleTracker"]

_REDRAW_S: Final = 0.1


@component
class ConsoleTracker(Tracker):
    """One line, rewritten in place on a terminal; elsewhere a line every `interval_s` seconds."""

    interval_s: float = knob(
        "Seconds between lines where the output is not a terminal.", default=5.0, gt=0, runtime=True
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_state", _State())

    def start(self, runs: Sequence[PlannedRun]) -> None:
        state = self._progress
        state.runs = {run.name: run for run in runs}
        state.started = state.shown = time.monotonic()

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        state = self._progress
        state.current = run.name
        state.done[run.name] += 1
        state.failed[run.name] += record["outcome"] not in ("scored", "unscored")
        if not replayed:
            state.computed += 1
            self._show()

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        del interrupted
        state = self._progress
        state.closed += summary.planned - state.done[run.name]
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        _print(
            f"{state.head(run.name)}  {', '.join(_standing(summary))}  {_scores(summary)}  ({_work(summary)})"
        )

    @property
    def _progress(self) -> _State:
        state: _State = vars(self)["_state"]
        return state

    def _show(self) -> None:
        state, live = self._progress, sys.stderr.isatty()
        if time.monotonic() - state.shown >= (_REDRAW_S if live else self.interval_s):
            state.shown = time.monotonic()
            if live:
                _rewrite(state.line())
            else:
                _print(state.line())


class _State:
    """What the tracker has been told."""

    def __init__(self) -> None:
        self.runs: dict[str, PlannedRun] = {}
        self.current = ""
        """The run of the latest turn."""
        self.done: Counter[str] = Counter()
        """Turns recorded by run, failed ones included."""
        self.failed: Counter[str] = Counter()
        self.computed = 0
        """Turns that this invocation worked for, as opposed to those it found done."""
        self.closed = 0
        """Turns planned after a failed one, in runs that are over: they will not come."""
        self.started = 0.0
        self.shown = 0.0

    def head(self, run: str) -> str:
        number = list(self.runs).index(run) + 1
        title = self.runs[run].title
        return f"run {number}/{len(self.runs)}  {title}" if len(self.runs) > 1 else f"run  {title}"

    def line(self) -> str:
        run, planned = self.current, sum(each.planned for each in self.runs.values())
        done = self.done.total()
        rate = self.computed / (time.monotonic() - self.started)
        parts = [f"{self.head(run)}  {self.done[run]}/{self.runs[run].planned} turns"]
        if len(self.runs) > 1:
            parts.append(f"all {done}/{planned}")
        if self.failed.total():
            parts.append(f"{self.failed.total()} failed")
        left = _clock((planned - self.closed - done) / rate)
        return ", ".join([*parts, f"{rate:.1f} turns/s", f"about {left} left"])


def _standing(summary: Summary) -> Iterator[str]:
    yield f"{summary.scored}/{summary.planned} turns scored"
    counts = {
        "wait for a scorer": summary.unscored,
        "refused": summary.refused,
        "failed": summary.failed,
        f"of {summary.verdicts} verdicts unread": summary.unread_verdicts,
        f"of {summary.pools} candidate pools identical": summary.identical_pools,
    }
    yield from (f"{count} {what}" for what, count in counts.items() if count)


def _scores(summary: Summary) -> str:
    return ", ".join(f"{modality} {score:.3f}" for modality, score in summary.scores.items())


def _work(summary: Summary) -> str:
    return f"{summary.seconds:.1f} s" if summary.seconds else "nothing left to do"


def _rewrite(text: str) -> None:
    width = shutil.get_terminal_size().columns - 1
    sys.stderr.write(f"\r\x1b[K{text[:width]}")
    sys.stderr.flush()


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _clock(seconds: float) -> str:
    """Seconds as "m:ss" or "h:mm:ss"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
