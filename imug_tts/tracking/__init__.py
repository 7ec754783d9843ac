"""Tracking: what a person or a service is told while runs go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from imug_tts.engine import Summary

__all__ = ["PlannedRun", "Tracker"]


class PlannedRun(NamedTuple):
    """A run of a study before it starts."""

    name: str
    """The name of its folder; the records carry it as `run`."""
    title: str
    """What it is among the others."""
    planned: int
    """Turns in all."""


class Tracker(Protocol):
    """Told of all runs of a study together; the last turns of one come among the first of the next."""

    def start(self, runs: Sequence[PlannedRun]) -> None:
        """These runs are about to start, or to go on, in this order."""
        ...

    def turn(self, record: Mapping[str, Any], replayed: bool) -> None:
        """A turn is answered or has failed; `replayed` when an earlier start recorded it."""
        ...

    def finish(self, run: str, summary: Summary) -> None:
        """The run of that name has ended or was interrupted."""
        ...
