"""Tracking for silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imug_tts.engine import Summary

__all__ = ["NoTracker"]


@dataclass(frozen=True, kw_only=True)
class NoTracker:
    """Tells nobody anything."""

    def announce(self, title: str, number: int, total: int) -> None:
        del title, number, total

    def start(self, run: str, planned: int) -> None:
        del run, planned

    def turn(self, record: Mapping[str, Any], replayed: bool) -> None:
        del record, replayed

    def finish(self, summary: Summary) -> None:
        del summary
