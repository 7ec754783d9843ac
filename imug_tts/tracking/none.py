"""Tracking for silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imug_tts.tracking import PlannedRun

if TYPE_CHECKING:
    from imug_tts.engine import Summary

__all__ = ["NoTracker"]


@dataclass(frozen=True, kw_only=True)
class NoTracker:
    """Tells nobody anything."""

    def start(self, runs: Sequence[PlannedRun]) -> None:
        pass

    def turn(self, record: Mapping[str, Any], replayed: bool) -> None:
        pass

    def finish(self, run: str, summary: Summary) -> None:
        pass
