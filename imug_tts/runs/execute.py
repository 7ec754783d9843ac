"""Execute runs into their folders: start or resume them, and skip complete runs.

The runs of a study share one journal, their models and one queue of dialogues, in the order of the runs. If a
run has too few dialogues left to fill a batch, dialogues of the next run fill it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Final

from imug_tts.calls import Brokers, Journal
from imug_tts.concurrency import run_blocking
from imug_tts.contracts import ConfigurationError, ModelDown, Summary, Tracker
from imug_tts.runs.interrupt import stop_signals
from imug_tts.runs.job import Job
from imug_tts.runs.limits import warn_of_limits
from imug_tts.runs.memory import check_memory
from imug_tts.runs.probes import Probed, probe_models
from imug_tts.runs.shares import Share
from imug_tts.runs.trackers import Trackers
from imug_tts.runs.work import Work

__all__ = ["check_and_probe", "execute"]

_LEAST_IN_FLIGHT: Final = 32


def execute(
    runs: Sequence[Work],
    *,
    journal: Path,
    trackers: Sequence[Tracker] = (),
    in_flight: int | None = None,
    share: Share | None = None,
    on_probed: Callable[[Probed], None] = lambda probed: None,
) -> list[Summary]:
    """Execute the runs in order; return their summaries. A complete run is skipped without loading weights.

    Other processes may execute the same runs at the same time: each process plays dialogues that no other
    process has claimed.

    Args:
        journal: the folder of the journal, shared by the runs.
        trackers: receive the events of the runs. A tracker that raises an exception is closed with a warning.
        in_flight: number of dialogues played concurrently. Default: twice the number of calls that the models
            of a run compute at once, and at least 32, so that calls are prepared while others are computed;
            at most this process's share of the dialogues.
        share: the shard of this process, and the number of processes.
        on_probed: called with the findings of each probed server; the first run is charged for the probes.

    Raises:
        ConfigurationError: a run cannot be executed; raised before any compute. The message says what to
            change.
        StorageError: the output cannot be written; calls in the journal are safe.
        ModelDown: every recent call of a model failed; earlier answers are kept.
        KeyboardInterrupt: a first SIGINT or SIGTERM came; raised after everything is written.
    """
    _refuse_equal_folders(runs)
    probed = check_and_probe(runs, journal)
    for run in runs:
        run.check()
    check_memory(runs)
    warn_of_limits(model for run in runs for model in run.models.values())
    with ExitStack() as stack:
        events = stack.enter_context(closing(Trackers(trackers)))
        share = share or Share()
        jobs = [stack.enter_context(closing(Job(run, events, share))) for run in runs]
        for each in probed:
            on_probed(each)
            jobs[0].charge(each.cost)
        events.start([job.plan for job in jobs])
        session = _Session(jobs, journal, in_flight or _in_flight(runs, share))
        try:
            interrupted = run_blocking(session.play())
        finally:
            session.close()
        summaries = [job.finish(interrupted or session.down is not None) for job in jobs]
    if session.down is not None:
        raise session.down
    if interrupted:
        done = sum(summary.scored for summary in summaries)
        raise KeyboardInterrupt(f"{done} of {sum(s.planned for s in summaries)} turns are done")
    return summaries


def check_and_probe(runs: Sequence[Work], journal: Path | None) -> list[Probed]:
    """Check the runs, then probe the servers that generate images for them; return the findings.

    The findings are cached in the folder of the journal; with None they are not cached.

    Raises:
        ConfigurationError: a run cannot work as configured.
        StorageError: the findings cannot be written into the folder of the journal.
    """
    for run in runs:
        run.check()
    return probe_models([model for run in runs for model in run.to_probe()], journal)


class _Session:
    """The event loop, brokers and journal of one invocation."""

    def __init__(self, jobs: Sequence[Job], journal: Path, in_flight: int) -> None:
        self._jobs = jobs
        self._journal_folder = journal
        self._in_flight = in_flight
        self.down: ModelDown | None = None
        """The error that stopped the session, if a model is down."""

    async def play(self) -> bool:
        """Play every dialogue that has no records; return True if a signal or the caller requested to
        stop.
        """
        todo = enumerate(self._dialogues())
        workers = [asyncio.create_task(self._work(todo)) for _ in range(self._in_flight)]
        with stop_signals(workers) as interrupt:
            try:
                await asyncio.gather(*workers)
            except asyncio.CancelledError:
                interrupt.requested = interrupt.requested or _is_cancelled()
                if not interrupt.requested:
                    raise
            except ModelDown as error:
                self.down = error
            finally:
                for worker in workers:
                    worker.cancel()
                if "_brokers" in vars(self):
                    await self._brokers.stop()
        return interrupt.requested

    def close(self) -> None:
        if "_journal" in vars(self):
            self._journal.close()

    def _dialogues(self) -> Iterator[tuple[Job, int]]:
        for job in self._jobs:
            # A dead worker may have journaled some calls of a dialogue that this process takes over.
            for index in job.dialogues(on_taken=lambda: self._journal.refresh()):
                yield job, index

    async def _work(self, todo: Iterator[tuple[int, tuple[Job, int]]]) -> None:
        for rank, (job, index) in todo:  # the workers share one iterator
            player = job.player(index, self._brokers.for_dialogue(rank))
            records = await player.play()
            job.take(index, player, records, self._journal)

    @cached_property
    def _journal(self) -> Journal:
        return Journal(self._journal_folder)

    @cached_property
    def _brokers(self) -> Brokers:
        return Brokers(self._journal)


def _is_cancelled() -> bool:
    """Return whether the current task was cancelled from outside, as a notebook's interrupt does."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _refuse_equal_folders(runs: Sequence[Work]) -> None:
    folders: set[Path] = set()
    for run in runs:
        if run.folder in folders:
            raise ConfigurationError(f"two of the runs to execute have the same folder {run.folder}")
        folders.add(run.folder)


def _in_flight(runs: Sequence[Work], share: Share) -> int:
    enough = max(_LEAST_IN_FLIGHT, *(2 * _calls_at_once(run) for run in runs))
    return min(enough, share.at_most(sum(len(run.samples) for run in runs)))


def _calls_at_once(work: Work) -> int:
    """Return how many calls the models of a run compute at once."""
    models = {id(model): model.capabilities for model in work.models.values()}
    return sum(each.max_batch * each.concurrent_batches for each in models.values())
