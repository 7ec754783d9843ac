"""Plans, records and summaries to send to trackers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from imug_tts.contracts import Cost, PlannedRun, Record, Summary


class Written:
    """What was written to standard error until now."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


def plan(name: str, title: str = "", planned: int = 10, calls: int | None = None) -> PlannedRun:
    folder = Path("runs", "default", name)
    return PlannedRun(
        name=name, title=title or name, folder=folder, study="default", planned=planned, calls=calls
    )


def record(
    outcome: str = "scored", verdicts: Sequence[str] = (), pools: Sequence[Sequence[str]] = ()
) -> Record:
    """A record with a candidate for each status of a verdict and a layer for each pool of images."""
    judged = [{"output": {"text": "A"}, "verdict": {"status": status}} for status in verdicts]
    response: dict[str, Any] = {"output": {"text": "A"}, "candidates": judged}
    for images in pools:
        drawn = [{"output": {"image": image}} for image in images]
        response = {"output": {"text": "A"}, "candidates": [{"output": None, "candidates": drawn}, response]}
    return {"outcome": outcome, "response": response}


def summary(scored: int, planned: int, seconds: float = 1.5, **counts: Any) -> Summary:
    ends = ("refused", "unscored", "model_error")
    outcomes: dict[str, int] = {key: counts.pop(key) for key in ends if key in counts}
    return Summary(
        folder=Path("runs/default/direct-01234567"),
        planned=planned,
        scored=scored,
        outcomes={"scored": scored, **outcomes} if scored or outcomes else {},
        scores={"image": 0.875} if scored else {},
        intrinsic=Cost(),
        spent=Cost(),
        seconds=seconds,
        **counts,
    )
