"""The tracker interface: receives the events of runs, to show or send progress."""

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
    """A run of a study, described before it begins."""

    name: str
    """The name of the run's folder, which is the field `run` of its records."""
    title: str
    """A title that tells the run from the other runs of the study."""
    folder: Path
    """The run's folder; images are in `folder/images/<sha256>.png`."""
    study: str
    """The name of the study's folder."""
    planned: int
    """Planned turns."""
    calls: int | None = None
    """Lower bound of model calls without any journal; None if it could not be estimated."""
    processes: int = 1
    """Approximate number of processes that work on the run."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The whole configuration as plain values; holds no secrets."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """The settings that identify the run, as plain values."""

    def image(self, sha256: str) -> Path:
        """Return the file of the image with this SHA-256."""
        return self.folder / "images" / f"{sha256}.png"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The state of a run. Counts are turns; scores are means over scored turns, in [0, 1]."""

    folder: Path
    planned: int
    scored: int
    outcomes: Mapping[str, int]
    scores: Mapping[str, float]
    """Mean score by modality; modalities without a scored turn are absent."""
    intrinsic: Cost
    """Total cost of the recorded turns, including calls that other invocations made."""
    spent: Cost
    """Cost of the calls that this invocation made; the journal answered the others."""
    seconds: float
    """Time from the first dialogue that this invocation played to the last; 0 if it played none."""
    unasked: int = 0
    """Turns that are skipped for good because they need the answer of a turn that the model refused."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Turns without a score, by reason; similar reasons are counted together."""
    verdicts: int = 0
    """Verdicts of the judges inside the strategy."""
    unread_verdicts: int = 0
    """Verdicts that could not be parsed from the judge's replies; they ranked nothing."""
    pools: int = 0
    """Layers, over all turns, that had two or more candidate images."""
    identical_pools: int = 0
    """Those of `pools` whose candidate images were byte-identical, so that selection had no effect."""

    elsewhere: int = 0
    """Turns without a record whose dialogues other processes are playing."""

    @property
    def refused(self) -> int:
        """Turns that the model refused. A refusal is final, because the journal would replay it."""
        return self.outcomes.get("refused", 0)

    @property
    def unscored(self) -> int:
        """Turns with an answer but no score, because the run has no scoring model."""
        return self.outcomes.get("unscored", 0)

    @property
    def failed(self) -> int:
        """Turns that ended in an error; the next invocation retries them."""
        return sum(self.outcomes.values()) - self.scored - self.unscored - self.refused

    @property
    def missing(self) -> int:
        """Planned turns without a final outcome, which another invocation would play."""
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
    """Receives the events of all runs of a study. Every method does nothing unless a subclass overrides it.

    Runs overlap: turns of the next run can arrive before the last turns of this one. Methods are called on
    the event loop and must return at once. If a method raises an exception, it is reported once, the tracker
    is closed, and the runs continue without it.
    """

    def start(self, runs: Sequence[PlannedRun]) -> None:
        """Called once with all runs, in order of execution, before the first of them begins or is resumed."""

    def call(self, run: PlannedRun) -> None:
        """Called after each model call, answered or failed; calls that the journal answers do not count."""

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        """Called with the record of each turn; `replayed` if another invocation or process wrote it."""

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        """Called when a run is complete, or `interrupted` before that."""

    def start_training(self, runs: Sequence[PlannedRun]) -> None:
        """Called once with all trainings, in order of execution, before the first begins or is resumed."""

    def step(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        """Called after each optimizer step; `values` is the step's line of training.jsonl."""

    def finish_training(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        """Called when a training is complete; `values` is the content of its metrics.json."""

    def close(self) -> None:
        """Called after the last event, to release resources."""
