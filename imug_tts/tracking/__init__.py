"""Tracking: what a person or a service is told while runs go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from imug_tts.engine import Summary

__all__ = ["Tracker"]


class Tracker(Protocol):
    """Told of every run of a study, one run at a time: announce, start, turns, finish."""

    def announce(self, title: str, number: int, total: int) -> None:
        """The next run is `number` (1-based) of `total`; `title` says what it is among the others."""
        ...

    def start(self, run: str, planned: int) -> None:
        """The run named `run` starts (or goes on); it has `planned` turns."""
        ...

    def turn(self, record: Mapping[str, Any], replayed: bool) -> None:
        """A turn is answered or has failed; `replayed` when an earlier start did the work."""
        ...

    def finish(self, summary: Summary) -> None:
        """The run has ended or was interrupted."""
        ...
