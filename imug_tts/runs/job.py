"""A run, and what it does while it is executed: its records, images, log, summary and events."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imug_tts.calls import Journal
from imug_tts.composition import is_oracle, label
from imug_tts.contracts import Backbone, Cost, ModelRole, PlannedRun, Record, Summary
from imug_tts.dialogue import Modality, Sample
from imug_tts.records import arm_key
from imug_tts.runs.arm import Arm
from imug_tts.runs.player import Player
from imug_tts.runs.store import RunStore, versions
from imug_tts.runs.trackers import Trackers

__all__ = ["Job", "Run"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """An arm and the folder of its records."""

    arm: Arm
    folder: Path
    config: Mapping[str, Any]
    """The whole configuration, kept beside the records; no secrets."""
    title: str = ""
    """What a person reads while it runs; by default the folder's name."""


class Job:
    """A run while it is executed."""

    def __init__(self, run: Run, trackers: Trackers) -> None:
        """Raises ConfigurationError when the folder belongs to another run or is in use."""
        self.arm = run.arm
        self._run = run
        self._trackers = trackers
        self.samples = run.arm.benchmark.samples()
        self.store = RunStore(run.folder, self.samples, manifest(run, self.samples))
        self.plan = PlannedRun(
            name=run.folder.name,
            title=run.title or run.folder.name,
            folder=run.folder,
            study=run.folder.resolve().parent.name,
            planned=self.store.planned,
            config=run.config,
            identity=run.arm.identity,
        )
        self._spent = Cost()
        self._started: float | None = None
        self._summary: Summary | None = None

    def open(self) -> list[int]:
        """Read what is done; the indices of the dialogues that are to be played."""
        for record in self.store.load():
            self._trackers.turn(self.plan, record, replayed=True)
        missing = self.store.missing()
        if missing:
            self._started = time.perf_counter()
            self.store.begin(self._run.config)
        else:
            self.finish()
        return missing

    def called(self, role: ModelRole, model: Backbone, modality: Modality) -> None:
        """A call of the run was made, and not answered by the journal."""
        del role, model, modality
        self._trackers.call(self.plan)

    def take(self, index: int, player: Player, records: Sequence[Record], journal: Journal) -> None:
        """Keep a played dialogue; its records last, so that they never name an image that is not there."""
        self.store.keep_images(player.images, journal)
        self.store.log(player.log)
        self._spent += player.spent
        for record in self.store.add(index, records):
            self._trackers.turn(self.plan, record, replayed=False)
        if len(self.store.done) == len(self.samples):
            self.finish()

    def finish(self, interrupted: bool = False) -> Summary:
        """Write the summary and let go of the folder; `interrupted` unless every dialogue was played."""
        if self._summary is None:
            self._summary = self._summarize()
            self.store.finish(self._summary.to_json())
            self._trackers.finish(self.plan, self._summary, interrupted)
        return self._summary

    def close(self) -> None:
        self.store.close()

    def _summarize(self) -> Summary:
        tally = self.store.tally
        return Summary(
            folder=self.store.folder,
            planned=self.store.planned,
            scored=tally.outcomes["scored"],
            outcomes=dict(tally.outcomes),
            scores=tally.scores,
            intrinsic=tally.intrinsic,
            spent=self._spent,
            seconds=0.0 if self._started is None else time.perf_counter() - self._started,
            unasked=tally.unasked,
            failures=dict(tally.failures.most_common()),
            verdicts=tally.verdicts,
            unread_verdicts=tally.unread_verdicts,
            pools=tally.pools,
            identical_pools=tally.identical_pools,
        )


def manifest(run: Run, samples: Sequence[Sample]) -> dict[str, Any]:
    """What `manifest.json` holds; see `imug_tts.records.Manifest`."""
    arm, strategy = run.arm, label(run.arm.strategy)
    return {
        "run": run.folder.name,
        "arm": arm_key(strategy, arm.own_identity),
        "strategy": strategy,
        "oracle": is_oracle(arm.strategy),
        "history": arm.history,
        "history_from": None if arm.transcript is None else arm.transcript.identity,
        "seed": arm.seed,
        "benchmark": arm.benchmark.identity,
        "backbone": arm.backbone.identity,
        "models": {place: model.identity for place, model in arm.all_models.items()},
        "judges": arm.judges,
        "identity": arm.identity,
        "arm_identity": arm.own_identity,
        "selection": arm.selection,
        "versions": versions(),
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
