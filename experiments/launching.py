"""Start the arms of a study as jobs, wait for the jobs on request, and report how they ended."""

from __future__ import annotations

import shlex
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from experiments.command import complain
from experiments.launch_checks import check_launch
from experiments.launched import Launched
from experiments.outcome import report
from experiments.standing import Standing, standing_of
from imug_tts.contracts import ConfigurationError
from imug_tts.launch import (
    Job,
    Jobs,
    LocalQueue,
    Queue,
    SlurmQueue,
    check_queue,
    disk_of,
    known_jobs,
    slurm_jobs,
    submit,
)

if TYPE_CHECKING:
    from experiments.run import Batch
    from imug_tts.runs import Run, Share

__all__ = ["launch", "plan_jobs"]

_Named = tuple[str, Mapping[str, Any]]
"""The name of a run's folder, and its configuration."""
_LOOK_EVERY_S: Final = 2.0


def launch(batches: Sequence[Batch], queue: Queue) -> int:
    """Submit jobs for the runs that are neither complete nor in a job; return the exit status.

    Raises:
        ConfigurationError: the jobs cannot be submitted; the message says why.
        KeyboardInterrupt: interrupted while waiting for the jobs. SLURM jobs continue.
    """
    planned = zip(batches, plan_jobs(batches, queue), strict=True)
    launches = [_Launch(batch.journal.parent, queue, groups) for batch, groups in planned if groups]
    for each in launches:
        each.start()
    if not queue.wait:
        return 0
    try:
        while any(each.is_going() for each in launches):
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        ids = " ".join(sorted({job.id.split("_")[0] for each in launches for job in each.jobs.jobs}))
        raise KeyboardInterrupt(
            f"SLURM jobs continue without this command; scancel {ids} ends them"
            if isinstance(queue, SlurmQueue)
            else "the jobs end too"
        ) from None
    return max(_report(batch) for batch in batches)


def plan_jobs(batches: Sequence[Batch], queue: Queue) -> list[list[list[_Named]]]:
    """Return the runs of each job to submit, for each batch. Nothing is submitted.

    Warns if other nodes cannot see a study's folder.

    Raises:
        ConfigurationError: the jobs could not be submitted; the message says why.
    """
    check_launch(batches, queue)
    planned = [list(_jobs_of(_unstarted(batch), queue, batch.share)) for batch in batches]
    check_queue(queue, max(map(len, planned)))
    if isinstance(queue, SlurmQueue):
        for study in dict.fromkeys(batch.journal.parent for batch in batches):
            _check_disk(study)
    return planned


def _check_disk(study: Path) -> None:
    if kind := disk_of(study):
        warnings.warn(
            f"{study} is on a disk of this machine ({kind}); jobs on other nodes cannot see it: choose a "
            "shared disk with output=DIR unless this machine is the only node",
            stacklevel=2,
        )


class _Launch:
    """The jobs of one study."""

    def __init__(self, study: Path, queue: Queue, arms: Sequence[Sequence[_Named]]) -> None:
        self._study = study
        self._queue = queue
        self._said = ""
        name: Literal["slurm", "local"] = "slurm" if isinstance(queue, SlurmQueue) else "local"
        self.jobs = Jobs.planned(
            study,
            name,
            arms,
            tasks=queue.tasks_per_node,
            submitit_folder=queue.submitit_folder,
            log="log.out" if queue.stderr_to_stdout else "log.err",
        )
        self._handles: list[object] = []  # submitit ends jobs whose handles are gone

    def start(self) -> None:
        """Submit all jobs; on this machine, only as many as may run at a time.

        Raises:
            ConfigurationError: the queue refused the jobs; the message says why. The launch's files are
                removed.
        """
        try:
            self._submit_some()
        except ConfigurationError:
            shutil.rmtree(self.jobs.folder)
            raise
        ids = sorted({job.id.split("_")[0] for job in self.jobs.jobs if job.id})
        planned, submitted = len(self.jobs.jobs), len(self.jobs.jobs) - len(self._waiting)
        print(f"{planned} jobs for {self._study}, of which {submitted} are submitted: {', '.join(ids)}")
        print(f"to see their state: python experiments/status.py {self._study}")

    def is_going(self) -> bool:
        """Return whether a job waits or runs. Submits further jobs, and prints the counts if they changed."""
        known = slurm_jobs() if isinstance(self._queue, SlurmQueue) else {}
        going = [job for job in self.jobs.jobs if job.id and job.is_alive(known)]
        if self._waiting and len(going) < self._at_once:
            self._submit_some(len(going))
            return True
        counts = Counter("runs" if job.state() else "waits" for job in going)
        counts["waits"] += len(self._waiting)
        counts["ended"] = len(self.jobs.jobs) - counts.total()
        said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()) if count)
        if said != self._said:
            self._said = said
            complain(f"jobs: {said}", 0)
        return bool(going or self._waiting)

    @property
    def _at_once(self) -> int:
        """The number of jobs to submit at a time. SLURM gets all jobs, because it limits the running ones
        itself.
        """
        return self._queue.array_parallelism if isinstance(self._queue, LocalQueue) else 10**9

    @property
    def _waiting(self) -> list[Job]:
        return [job for job in self.jobs.jobs if not job.id]

    def _submit_some(self, going: int = 0) -> None:
        chosen = self._waiting[: self._at_once - going]
        work = [Launched(job, str(self._study)) for job in chosen]
        after = f"-m experiments.killed {shlex.quote(str(self.jobs.folder))} $status"
        handles = submit(self._queue, self.jobs.scripts, work, after)
        for job, handle in zip(chosen, handles, strict=True):
            self.jobs = self.jobs.submitted(job, handle.job_id)
        self._handles += handles
        self.jobs.keep()


def _unstarted(batch: Batch) -> list[Run]:
    """Return the runs that are neither complete nor in a job that waits or runs."""
    known, in_slurm = known_jobs(batch.journal.parent)
    chosen = []
    for run in batch.runs:
        alive = [job.id for job in known.get(run.folder.name, ()) if job.is_alive(in_slurm)]
        if alive:
            print(f"{run.title} is in job {', '.join(alive)} already")
        elif not standing_of(run.folder).is_complete:
            chosen.append(run)
    return chosen


def _jobs_of(runs: Sequence[Run], queue: Queue, share: Share) -> Iterator[list[_Named]]:
    """Yield the runs of each job, with their configurations.

    With shards, several jobs have the same runs, and each process of a job has its own shard. The
    configuration has the shard of the job's first process.
    """
    shards = max(share.shards, queue.tasks_per_node)
    is_shared = share.shard is None and shards > 1
    numbers = range(0, shards, queue.tasks_per_node) if is_shared else [share.shard]
    for group in _groups(runs, queue.arms_per_job):
        for number in numbers:
            own = {"shard": number, "shards": shards}
            yield [(run.folder.name, {**run.config, **own}) for run in group]


def _groups(runs: Sequence[Run], size: int) -> Iterator[list[Run]]:
    """Yield the runs in groups of at most `size`; the runs of a group have the same models."""
    by_models: dict[str, list[Run]] = {}
    for run in runs:
        models = {key: run.config[key] for key in ("backbone", "roles", "scorer")}
        by_models.setdefault(repr(models), []).append(run)
    for own in by_models.values():
        yield from (own[i : i + size] for i in range(0, len(own), size))


def _report(batch: Batch) -> int:
    """Print how the runs of a study ended; return the exit status, 1 if any turn is missing."""
    from imug_tts.runs import execute

    stand = {run.folder: standing_of(run.folder) for run in batch.runs}
    complete = [run for run in batch.runs if stand[run.folder].is_complete]
    print(f"{len(complete)} of {len(batch.runs)} runs in {batch.journal.parent} are complete")
    # `execute` only reads complete runs, and gives the same summaries as for a study in one process.
    status = report(execute(complete, journal=batch.journal)) if complete else 0
    missing = [run for run in batch.runs if run not in complete]
    if missing:
        known, _ = known_jobs(batch.journal.parent)
        complain("\n".join(_missing(missing, stand, known)), 1)
        return 1
    return status


def _missing(
    runs: Sequence[Run], stand: Mapping[Path, Standing], known: Mapping[str, Sequence[Job]]
) -> Iterator[str]:
    yield "these arms are not complete; the same command again continues them:"
    for run in runs:
        now = stand[run.folder]
        turns = (
            f"{now.planned - now.done:,} of {now.planned:,} turns missing" if now.planned else "not started"
        )
        jobs = [(job, job.outcome()) for job in known.get(run.folder.name, ())]
        bad = [(job, end) for job, end in jobs if end != "done"] or jobs
        yield f"  {run.title}: {turns}{''.join(f'; job {job.id} {end}, log: {job.logs}' for job, end in bad)}"
