"""Executes an arm into its run folder: starts it, goes on with it, or finds it finished."""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from imug_tts.contracts import Cost
from imug_tts.dialogue import Sample
from imug_tts.engine.files import exclusive
from imug_tts.engine.journal import Journal
from imug_tts.engine.runner import Arm, Session, check, run_dialogues
from imug_tts.engine.store import RunStore, plain
from imug_tts.strategies import is_oracle, label
from imug_tts.tracking import Tracker

__all__ = ["Summary", "execute"]

_PACKAGES = ("imug_tts", "torch", "transformers", "numpy", "pillow")


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
    """What this start really spent; the rest came from the journal."""
    calls_replayed: int
    seconds: float

    @property
    def failed(self) -> int:
        """Turns that ended otherwise than scored."""
        return sum(self.outcomes.values()) - self.scored

    def to_json(self) -> dict[str, Any]:
        return {
            "planned": self.planned,
            "scored": self.scored,
            "outcomes": dict(self.outcomes),
            "scores": dict(self.scores),
            "intrinsic": self.intrinsic.to_json(),
            "last_start": {
                "spent": self.spent.to_json(),
                "calls_replayed": self.calls_replayed,
                "seconds": self.seconds,
            },
        }


def execute(
    arm: Arm,
    *,
    folder: Path,
    journal: Path,
    identity: Mapping[str, Any],
    config: Mapping[str, Any],
    tracker: Tracker,
    in_flight: int | None = None,
) -> Summary:
    """Run an arm into `folder`. A finished run returns at once, without loading weights.

    Args:
        identity: what makes this run this run; a folder of another identity is refused.
        config: the whole configuration, kept beside the records; no secrets.
        in_flight: dialogues at a time; by default two batches' worth, so that one is prepared
            while the other is computed.

    Raises:
        ConfigurationError: before any compute, with what to change.
        StorageError: the output cannot be written; what was journaled is safe.
        KeyboardInterrupt: after a first SIGINT or SIGTERM, with everything flushed.
    """
    check(arm)
    samples = arm.benchmark.samples()
    with exclusive(folder):
        store = RunStore(folder, samples, _manifest(folder.name, arm, samples, identity))
        tracker.start(folder.name, sum(len(sample.questions) for sample in samples))
        for records in store.records.values():
            for record in records:
                tracker.turn(record, replayed=True)
        session = Session()
        if len(store.records) < len(samples):
            store.begin(config)
            limit = in_flight or 2 * arm.backbone.capabilities.max_batch
            try:
                coroutine = run_dialogues(arm, _journal(journal), tracker, store, samples, limit)
                session = asyncio.run(coroutine)
            finally:
                store.close()
            store.write_summary(_summary(folder, samples, store, session).to_json())
        summary = _summary(folder, samples, store, session)
    tracker.finish(summary)
    if session.interrupted:
        raise KeyboardInterrupt(f"{folder}: {summary.scored} of {summary.planned} turns are done")
    return summary


def _journal(folder: Path) -> Journal:
    """The journal of a study, read once per process: a sweep's runs share it."""
    journal = _open_journal(folder.resolve())
    journal.refresh()
    return journal


@lru_cache(maxsize=1)
def _open_journal(folder: Path) -> Journal:
    return Journal(folder)


def _summary(folder: Path, samples: Sequence[Sample], store: RunStore, session: Session) -> Summary:
    records = [record for dialogue in store.records.values() for record in dialogue]
    outcomes = Counter(record["outcome"] for record in records)
    by_modality: dict[str, list[float]] = {}
    for record in records:
        if record["outcome"] == "scored":
            by_modality.setdefault(record["modality"], []).append(record["score"])
    return Summary(
        folder=folder,
        planned=sum(len(sample.questions) for sample in samples),
        scored=outcomes["scored"],
        outcomes=outcomes,
        scores={m: sum(scores) / len(scores) for m, scores in sorted(by_modality.items())},
        intrinsic=sum((Cost(**cost) for r in records for cost in r["cost"].values()), Cost()),
        spent=session.spent,
        calls_replayed=session.calls_replayed,
        seconds=session.seconds,
    )


def _manifest(run: str, arm: Arm, samples: Sequence[Sample], identity: Mapping[str, Any]) -> dict[str, Any]:
    identity = plain(identity)  # so that it compares equal to what is read back
    return {
        "run": run,
        "strategy": label(arm.strategy),
        "oracle": is_oracle(arm.strategy),
        "history": arm.history,
        "seed": arm.seed,
        "benchmark": arm.benchmark.identity,
        "backbone": arm.backbone.identity,
        "identity": identity,
        "versions": {"python": platform.python_version(), **_versions()},
        "planned": [_plan(sample) for sample in samples],
    }


def _plan(sample: Sample) -> dict[str, Any]:
    return {
        "sample_id": sample.sample_id,
        "class": sample.sample_class,
        "domain": sample.domain,
        "task": sample.task,
        "modalities": [question.modality for question in sample.questions],
    }


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
