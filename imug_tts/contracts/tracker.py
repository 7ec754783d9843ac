"""Trackers: what a person or a service is told while runs go on."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imug_tts.contracts.model import Cost
from imug_tts.contracts.record import Record

__all__ = ["PlannedRun", "Summary", "Tracker"]


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run of a study before it begins."""

    name: str
    """The name of its folder; the records carry it as `run`."""
    title: str
    """What it is among the others."""
    folder: Path
    """The run's folder; images of its records are `folder/images/<sha256>.png`."""
    study: str
    """The name of the study's folder."""
    planned: int
    """Turns in all."""
    calls: int | None = None
    """Model calls that the run needs at least, before any journal; None where nobody estimated them."""
    processes: int = 1
    """How many processes work on the run, more or less."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The whole configuration as plain values; holds no secrets."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What makes this run this run, as plain values."""

    def image(self, sha256: str) -> Path:
        """The file of an image that a record names."""
        return self.folder / "images" / f"{sha256}.png"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a run stands. Counts are turns; scores are means over scored turns, in [0, 1]."""

    folder: Path
    planned: int
    scored: int
    outcomes: Mapping[str, int]
    scores: Mapping[str, float]
    """Mean score by modality, where any turn is scored."""
    intrinsic: Cost
    """What the records cost, whoever paid for it."""
    spent: Cost
    """What this invocation asked of the models; the rest came from the journal."""
    seconds: float
    """From the first dialogue that this invocation played to the last; 0 if there was none."""
    unasked: int = 0
    """Turns after a refused turn, whose answer they need; they will never be asked."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Turns by the reason for which they have no score; similar reasons are counted together."""
    verdicts: int = 0
    """Verdicts of the judges inside the strategy."""
    unread_verdicts: int = 0
    """Verdicts that could not be read from the judge's replies; they ranked nothing."""
    pools: int = 0
    """Times that a layer had two candidate images or more."""
    identical_pools: int = 0
    """Pools in which all candidate images were the same bytes, so that there was nothing to choose."""

    elsewhere: int = 0
    """Turns without a record whose dialogues other processes have in hand."""

    @property
    def refused(self) -> int:
        """Turns that the model refused; final, as the journal would only repeat the refusal."""
        return self.outcomes.get("refused", 0)

    @property
    def unscored(self) -> int:
        """Turns that were answered, and wait for a scorer."""
        return self.outcomes.get("unscored", 0)

    @property
    def failed(self) -> int:
        """Turns that ended in an error; the next invocation tries them again."""
        return sum(self.outcomes.values()) - self.scored - self.unscored - self.refused

    @property
    def missing(self) -> int:
        """Planned turns without a final outcome, that another invocation would try."""
        settled = self.scored + self.unscored + self.refused + self.unasked
        return self.planned - settled - self.elsewhere

    def to_json(self) -> dict[str, Any]:
        return {
            "planned": self.planned,
            "scored": self.scored,
            "missing": self.missing,
            "unasked": self.unasked,
            "outcomes": dict(self.outcomes),
            "failures": dict(self.failures),
            "scores": dict(self.scores),
            "verdicts": {"read": self.verdicts - self.unread_verdicts, "unread": self.unread_verdicts},
            "candidate_pools": {"all": self.pools, "identical": self.identical_pools},
            "intrinsic": self.intrinsic.to_json(),
            "last_start": {"spent": self.spent.to_json(), "seconds": self.seconds},
        }


class Tracker(ABC):
    """Receives the events of all runs of a study. Every method does nothing unless it is overridden.

    Runs overlap: turns of the next run can arrive before the last turns of this one. Events come on the event
    loop, so a method must return at once. An exception that a method raises is reported once; the tracker is
    closed, and the runs go on without it.
    """

    def start(self, runs: Sequence[PlannedRun]) -> None:
        """These runs are about to begin, or to go on, in this order."""

    def call(self, run: PlannedRun) -> None:
        """A model call was made, and answered or failed; calls that the journal answers do not count."""

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        """A turn is answered or has failed; `replayed` when an earlier or another process recorded it."""

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        """The run has ended, or was `interrupted` before its end."""

    def start_training(self, runs: Sequence[PlannedRun]) -> None:
        """These trainings are about to begin, or to go on, in this order."""

    def step(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        """An optimizer step is done; `values` is its line of training.jsonl."""

    def finish_training(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        """A training has ended; `values` is what its metrics.json says."""

    def close(self) -> None:
        """No further event comes."""
