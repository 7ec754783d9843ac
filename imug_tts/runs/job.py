"""A run of an arm (`Run`), and its execution (`Job`): records, images, log, summary and events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from imug_tts.calls import Brokers, Journal, OnCall
from imug_tts.composition import is_oracle, label
from imug_tts.contracts import Backbone, Cost, ModelRole, PlannedRun, Record, Remote, Summary
from imug_tts.dialogue import Modality, Sample
from imug_tts.records import arm_key
from imug_tts.registry import model_identity
from imug_tts.runs.arm import Arm, check
from imug_tts.runs.dry_run import least_calls
from imug_tts.runs.limits import all_caveats
from imug_tts.runs.player import Player
from imug_tts.runs.shares import Share
from imug_tts.runs.store import RunStore
from imug_tts.runs.trackers import Trackers
from imug_tts.runs.versions import versions
from imug_tts.runs.work import DialoguePlayer, Work

__all__ = ["Job", "Run"]


@dataclass(frozen=True, kw_only=True)
class Run(Work):
    """An arm and the folder of its records."""

    arm: Arm

    @property
    def samples(self) -> Sequence[Sample]:
        return self.arm.benchmark.samples()

    @cached_property
    def models(self) -> Mapping[str, Backbone]:
        return self.arm.all_models

    @property
    def components(self) -> Sequence[object]:
        return (self.arm.strategy, self.arm.benchmark, *self.models.values())

    def check(self) -> None:
        check(self.arm)

    def manifest(self) -> dict[str, Any]:
        arm, strategy = self.arm, label(self.arm.strategy)
        return {
            "arm": arm_key(strategy, arm.own_identity),
            "strategy": strategy,
            "oracle": is_oracle(arm.strategy),
            "history": arm.history,
            "history_from": None if arm.transcript is None else arm.transcript.identity,
            "seed": arm.seed,
            "benchmark": arm.benchmark.identity,
            "backbone": model_identity(arm.backbone),
            "models": {place: model_identity(model) for place, model in self.models.items()},
            "judges": arm.judges,
            "caveats": all_caveats(self.models.values()),
            "training": {
                model_identity(model): asdict(cost)
                for model in self.models.values()
                if (cost := model.training) is not None
            },
            "probes": {
                place: asdict(model.findings)
                for place, model in self.models.items()
                if isinstance(model, Remote) and model.findings is not None
            },
            "identity": arm.identity,
            "arm_identity": arm.own_identity,
            "selection": arm.selection,
        }

    def to_probe(self) -> Sequence[Remote]:
        model = self.arm.backbone
        draws = any(question.modality == "image" for sample in self.samples for question in sample.questions)
        return (model,) if draws and isinstance(model, Remote) else ()

    def least_calls(self) -> int | None:
        return least_calls(self.arm)

    def player(self, sample: Sample, brokers: Brokers, on_call: OnCall) -> DialoguePlayer:
        return Player(self.arm, sample, brokers, on_call)


class Job:
    """The execution of one run by this process."""

    def __init__(self, work: Work, trackers: Trackers, share: Share) -> None:
        """Open the run's folder; raises ConfigurationError if it belongs to another configuration."""
        self.work = work
        self._trackers = trackers
        self.samples = work.samples
        manifest = work.manifest()
        whole = {
            "run": work.folder.name,
            **manifest,
            "versions": versions(work.components),
            "planned": [_plan(sample) for sample in self.samples],
        }
        self.store = RunStore(
            work.folder, self.samples, whole, share=share, keeps=work.keeps, on_found=self._found
        )
        self.plan = PlannedRun(
            name=work.folder.name,
            title=work.title or work.folder.name,
            folder=work.folder,
            study=work.folder.resolve().parent.name,
            planned=self.store.planned,
            calls=work.least_calls(),
            processes=share.shards,
            config=work.config,
            identity=manifest["identity"],
        )
        self._spent = Cost()
        self._started: float | None = None
        self._summary: Summary | None = None
        self._in_hand = 0
        self._nothing_is_free = False

    def dialogues(self, on_taken: Callable[[], None]) -> Iterator[int]:
        """Read the existing records, then claim and yield free dialogues until none is left.

        `on_taken` is called after each claim, before the first of its dialogues is played.
        """
        self.store.load()
        if not self.store.is_complete:
            self._started = time.perf_counter()
            self.store.begin(self.work.config)
            for index in self.store.free(on_taken):
                self._in_hand += 1
                yield index
        self._nothing_is_free = True
        self._finish_when_idle()

    def called(self, role: ModelRole, model: Backbone, modality: Modality) -> None:
        """Report to the trackers a call that a model answered, not the journal."""
        del role, model, modality
        self._trackers.call(self.plan)

    def player(self, index: int, brokers: Brokers) -> DialoguePlayer:
        return self.work.player(self.samples[index], brokers, self.called)

    def take(self, index: int, player: DialoguePlayer, records: Sequence[Record], journal: Journal) -> None:
        """Store a played dialogue: images before records, so that records never name a missing image."""
        self.store.keep_images(player.images, journal)
        self.store.log(player.log)
        self._spent += player.spent
        for record in self.store.add(index, records):
            self._trackers.turn(self.plan, record, replayed=False)
        self._in_hand -= 1
        self._finish_when_idle()

    def finish(self, interrupted: bool = False) -> Summary:
        """Stop working on the run and return its summary; `interrupted` if dialogues are missing."""
        if self._summary is None:
            self._summary = self.store.finish(self._summarize)
            self._trackers.finish(self.plan, self._summary, interrupted)
        return self._summary

    def charge(self, cost: Cost) -> None:
        """Add costs that belong to the run but to none of its dialogues."""
        self._spent += cost

    def close(self) -> None:
        self.store.close()

    def _found(self, record: Record) -> None:
        self._trackers.turn(self.plan, record, replayed=True)

    def _finish_when_idle(self) -> None:
        if self._nothing_is_free and not self._in_hand:
            self.finish()

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
            elsewhere=self.store.elsewhere(),
        )


def _plan(sample: Sample) -> dict[str, Any]:
    return {
        "sample_id": sample.sample_id,
        "class": sample.sample_class,
        "domain": sample.domain,
        "task": sample.task,
        "modalities": [question.modality for question in sample.questions],
    }
