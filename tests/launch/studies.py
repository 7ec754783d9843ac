"""Studies that are launched as jobs: their records, what their jobs say, and waiting for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imug_tts.records import read_turns

__all__ = ["job_states", "records_of", "wait_until"]


def records_of(study: Path) -> dict[str, list[Any]]:
    """The records of every run of a study without the times that they took."""
    return {
        path.parent.name: [_timeless(line.record) for line in read_turns(path.parent)]
        for path in sorted(study.glob("*/turns.jsonl"))
    }


def job_states(study: Path) -> list[dict[str, Any]]:
    """What the jobs of a study last said of themselves."""
    return [json.loads(path.read_text()) for path in sorted(study.glob(".submitit/*/*.state.json"))]


def wait_until(holds: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key != "seconds"}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
