"""Studies that are tracked in wandb, by a user without a key unless a test sets one."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imug_tts.contracts import Candidate, Record, Request
from imug_tts.judges import BackboneJudge
from imug_tts.records import read_turns
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import run
from imug_tts.testing.toys import ToyBackbone
from imug_tts.tracking.wandb import WandbTracker

__all__ = ["KEY", "PASSWORD", "Painter", "interrupt", "leave_alone", "records_of", "tracked", "tracker"]

KEY, PASSWORD = "0123456789abcdef" * 2 + "planted0", "correct-horse-battery"


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


AT_TENTH = SimpleNamespace(acts=())
"""What `Painter` does at its tenth batch: no part of its code, so no run is renamed by it."""


@dataclass
class Painter(ToyBackbone):
    """Calls the functions in `AT_TENTH.acts` at its tenth batch."""

    batches: int = field(default=0, init=False)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self.batches += 1
        if self.batches == 10:
            for act in AT_TENTH.acts:
                act()
        return super().generate(requests)


def leave_alone(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make the user one without a key, whose home and temporary folder are empty."""
    for name in os.environ:
        if name.startswith(("WANDB_", "XDG_", "NETRC")):
            monkeypatch.delenv(name)
    for name, below in {"HOME": "home", "TMPDIR": "tmp"}.items():
        (folder / below).mkdir()
        monkeypatch.setenv(name, str(folder / below))


def tracker(**knobs: Any) -> WandbTracker:
    return WandbTracker(interval_s=0, **knobs)


def records_of(folder: Path) -> list[Record]:
    return [line.record for line in read_turns(folder)]


def tracked(study: Path, **knobs: Any) -> None:
    """Execute a Best-of-3 arm in a study."""
    strategy = BestOfN(n=3, judge=BackboneJudge(), inner=Direct())
    told = tracker(**knobs)
    run(study / "best", strategy, Painter(), tracker=told, in_flight=1, journal=study / "journal")
