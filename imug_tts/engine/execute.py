"""Executes runs into their folders: starts them, goes on with them, or finds them finished.

The runs of a study share one journal, their models and one queue of dialogues, in the order of
the runs: when one run has fewer dialogues left than fill a batch, the next one joins in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from imug_tts.contracts import Cost, ModelRole
from imug_tts.dialogue import Sample
from imug_tts.engine.arm import Arm, check
from imug_tts.engine.broker import Broker
from imug_tts.engine.interrupt import stop_signals
from imug_tts.engine.journal import Journal
from imug_tts.engine.player import Player
from imug_tts.engine.store import RunStore, versions
from imug_tts.strategies import is_oracle, label
from imug_tts.tracking import PlannedRun, Tracker

__all__ = ["Run", "Summary", "execute"]

_LEAST_IN_FLIGHT: Final = 32


@dataclass(frozen=True, kw_only=True)
class Run:
    """An arm and the folder of its records."""

    arm: Arm
    folder: Path
    identity: Mapping[str, Any]
    """What makes this run this run; a folder of another identity is refused. Plain JSON values."""
    config: Mapping[str, Any]
    """The whole configuration, kept beside the records; no secrets."""
    title: str = ""
    """What a person reads while it runs; by default the folder's name."""


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
    """What this start asked of the models; the rest came from the journal."""
    seconds: float
    """From the first dialogue that this start played to the last; 0 if there was none."""

    @property
    def failed(self) -> int:
        """Turns that ended in an error or a refusal."""
        return sum(self.outcomes.values()) - self.scored - self.unscored

    @property
    def unscored(self) -> int:
        """Turns that were answered, and wait for a scorer."""
        return self.outcomes.get("unscored", 0)

    @property
    def missing(self) -> int:
        """Planned turns that another start would try again."""
        return self.planned - self.scored - self.unscored

    def to_json(self) -> dict[str, Any]:
        return {
            "planned": self.planned,
            "scored": self.scored,
            "missing": self.missing,
            "outcomes": dict(self.outcomes),
            "scores": dict(self.scores),
            "intrinsic": self.intrinsic.to_json(),
            "last_start": {"spent": self.spent.to_json(), "seconds": self.seconds},
        }


def execute(
    runs: Sequence[Run], *, journal: Path, tracker: Tracker, in_flight: int | None = None
) -> list[Summary]:
    """Execute runs in order. Finished ones are found finished without loading weights.

    Args:
        journal: the folder of finished calls, shared by the runs.
        in_flight: dialogues at a time; by default twice what the models of a run take at once, and no
            less than 32, so that calls are prepared while others are computed.

    Raises:
        ConfigurationError: before any compute, with what to change.
        StorageError: the output cannot be written; what was journaled is safe.
        KeyboardInterrupt: after a first SIGINT or SIGTERM, with everything flushed.
    """
    for run in runs:
        check(run.arm)
    with ExitStack() as held:
        jobs = [held.enter_context(closing(_Job(run, tracker))) for run in runs]
        tracker.start([job.plan for job in jobs])
        interrupted = asyncio.run(_Session(jobs, journal, in_flight).play())
        summaries = [job.finish() for job in jobs]
    if interrupted:
        done = sum(summary.scored for summary in summaries)
        raise KeyboardInterrupt(f"{done} of {sum(s.planned for s in summaries)} turns are done")
    return summaries


class _Job:
    """A run while it is executed."""

    def __init__(self, run: Run, tracker: Tracker) -> None:
        self.arm = run.arm
        self._run = run
        self._tracker = tracker
        self.samples = run.arm.benchmark.samples()
        self.store = RunStore(run.folder, self.samples, _manifest(run, self.samples))
        self.plan = PlannedRun(run.folder.name, run.title or run.folder.name, self.store.planned)
        self._spent = Cost()
        self._started: float | None = None
        self._summary: Summary | None = None

    def open(self) -> list[int]:
        """Read what is done; the indices of the dialogues that are to be played."""
        for record in self.store.load():
            self._tracker.turn(record, replayed=True)
        missing = self.store.missing()
        if missing:
            self._started = time.perf_counter()
            self.store.begin(self._run.config)
        else:
            self.finish()
        return missing

    def take(self, index: int, player: Player, records: Sequence[dict[str, Any]], journal: Journal) -> None:
        """Keep a played dialogue; its records last, so that they never name an image that is not there."""
        self.store.keep_images(player.images, journal)
        self._spent += player.spent
        for record in self.store.add(index, records):
            self._tracker.turn(record, replayed=False)
        if len(self.store.done) == len(self.samples):
            self.finish()

    def finish(self) -> Summary:
        """Write the summary and let go of the folder."""
        if self._summary is None:
            self._summary = self._summarize()
            self.store.finish(self._summary.to_json())
            self._tracker.finish(self.plan.name, self._summary)
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
        )


class _Session:
    """One start: its event loop, models and journal."""

    def __init__(self, jobs: Sequence[_Job], journal: Path, in_flight: int | None) -> None:
        self._jobs = jobs
        self._journal_folder = journal
        self._in_flight = in_flight or max(_LEAST_IN_FLIGHT, *(2 * _calls_at_once(job.arm) for job in jobs))
        self._brokers: dict[int, Broker] = {}

    async def play(self) -> bool:
        """Play every dialogue that is missing; True if a signal asked to stop before the end."""
        todo = self._dialogues()
        workers = [asyncio.create_task(self._work(todo)) for _ in range(self._in_flight)]
        with stop_signals(workers) as interrupt:
            try:
                await asyncio.gather(*workers)
            except asyncio.CancelledError:
                if not interrupt.requested:
                    raise
            finally:
                for worker in workers:
                    worker.cancel()
                for broker in self._brokers.values():
                    await broker.stop()
        return interrupt.requested

    def _dialogues(self) -> Iterator[tuple[_Job, int]]:
        for job in self._jobs:
            for index in job.open():
                yield job, index

    async def _work(self, todo: Iterator[tuple[_Job, int]]) -> None:
        for job, index in todo:  # the workers share one iterator
            player = Player(job.arm, job.samples[index], self._brokers_of(job.arm))
            records = await player.play()
            job.take(index, player, records, self._journal)

    @cached_property
    def _journal(self) -> Journal:
        return Journal(self._journal_folder)

    def _brokers_of(self, arm: Arm) -> dict[ModelRole, Broker]:
        """One broker per model, whichever runs and roles it serves."""
        for model in arm.models.values():
            if id(model) not in self._brokers:
                self._brokers[id(model)] = Broker(model, self._journal)
        return {role: self._brokers[id(model)] for role, model in arm.models.items()}


def _calls_at_once(arm: Arm) -> int:
    """Calls that the models of an arm can have in hand."""
    models = {id(model): model.capabilities for model in arm.models.values()}
    return sum(each.max_batch * each.concurrent_batches for each in models.values())


def _manifest(run: Run, samples: Sequence[Sample]) -> dict[str, Any]:
    arm = run.arm
    return {
        "run": run.folder.name,
        "strategy": label(arm.strategy),
        "oracle": is_oracle(arm.strategy),
        "history": arm.history,
        "history_from": None if arm.transcript is None else arm.transcript.identity,
        "seed": arm.seed,
        "benchmark": arm.benchmark.identity,
        "backbone": arm.backbone.identity,
        "identity": run.identity,
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
