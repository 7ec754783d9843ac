"""Progress of trainings as lines: steps, losses, skipped records, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from imug_tts.contracts import PlannedRun

__all__ = ["StepLines"]


class StepLines:
    """Prints a line at most every `interval_s` seconds, and one for the last step of each training."""

    def __init__(self, interval_s: float, say: Callable[[str], None]) -> None:
        self._interval_s = interval_s
        self._say = say
        self._shown = time.monotonic()
        self._run = ""
        self._began = (0.0, 0)
        """Time and number of the run's first step in this invocation."""
        self._skipped = 0

    def step(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        """Add an optimizer step, given its line of training.jsonl."""
        now = time.monotonic()
        if run.name != self._run:
            self._run, self._began, self._skipped = run.name, (now, values["step"]), 0
        self._skipped += values["skipped"]
        if now - self._shown >= self._interval_s or values["step"] == values["of"]:
            self._shown = now
            self._say(", ".join(self._parts(run, values, now)))

    def _parts(self, run: PlannedRun, values: Mapping[str, Any], now: float) -> Iterator[str]:
        yield f"{run.title}  step {values['step']:,}/{values['of']:,}"
        yield "  ".join(f"{name} {loss:.4g}" for name, loss in values["losses"].items())
        if self._skipped:
            yield f"{self._skipped} records left out: out of memory"
        began, first = self._began
        done, left = values["step"] - first, values["of"] - values["step"]
        if done and left:
            each = (now - began) / done
            yield f"{each:.2f} s a step, {each * left / 60:.0f} min left"
