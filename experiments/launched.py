"""A job of a study, which submitit starts in another process, on this machine or on a node of a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.command import Config, complain, guarded, leave
from experiments.standing import standing_of
from imug_tts.contracts import ConfigurationError, ModelDown
from imug_tts.launch import (
    Job,
    QueueSignals,
    is_at_work,
    own_job_id,
    requeue_if_due,
    see_own_gpus,
    task_number,
)

__all__ = ["Launched", "turns_done"]

_INTERRUPTED = 130
_LOOK_EVERY_S = 0.5


class Launched:
    """Executes the arms of one job. Submitit pickles this object, so it holds only paths and names, no
    models.
    """

    def __init__(self, job: Job, study: str) -> None:
        self._job = job
        self._study = study

    def __call__(self) -> None:
        """Execute the arms of the job, or resume them. A job that its queue interrupts is requeued."""
        job = self._job.processes()[task_number()]
        see_own_gpus(job.task, job.tasks)
        id = own_job_id() or job.id
        job.begin(id, turns_done(job, Path(self._study)))
        signals = QueueSignals()  # until here, submitit's own signal handler requeues the job
        try:
            status = guarded(lambda: _execute(list(_own(job))))
            if status != _INTERRUPTED:
                status = max(status, guarded(lambda: _await_the_others(job)))
        except KeyboardInterrupt:  # a second signal, while the first was being reported
            status = _INTERRUPTED
        signals.ignore()
        if status == _INTERRUPTED:
            job.end("queued again")
            try:
                if not requeue_if_due(signals, job.queue, id):
                    job.end("stopped")
            except Exception as error:
                job.end("stopped")
                complain(f"{error} The same command again continues the job's arms.", 1)
        else:
            job.end("failed" if status else "done")
        if status:
            leave(status)

    def checkpoint(self) -> Any:
        """Return what submitit starts after requeueing: this object, because the study's folder has the
        state.
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def turns_done(job: Job, study: Path) -> int:
    """Return the number of turns of the job's arms that have a final outcome."""
    return sum(standing_of(study / run).done for run in job.runs)


def _own(job: Job) -> Iterator[Config]:
    """Yield the configurations of the job's arms, with the shard number of this process."""
    for config in job.configurations():
        shard = config["shard"]
        yield {**config, "shard": None if shard is None else shard + job.task}


def _await_the_others(job: Job) -> int:
    """Let the first process of a job wait for its other processes, because only it can requeue the job.

    Returns:
        The exit status 0.

    Raises:
        KeyboardInterrupt: the queue warned or stopped the job.
    """
    if job.task == 0 and job.tasks > 1:
        while any(is_at_work(each) for each in job.processes()[1:]):
            time.sleep(_LOOK_EVERY_S)
    return 0


def _execute(configs: Sequence[Config]) -> int:
    """Execute arms together; if an error of one stops them all, execute each alone. Return the exit
    status.
    """
    try:
        return _together(configs)
    except (ConfigurationError, ModelDown) as error:
        if len(configs) == 1:
            raise
        complain(f"{error}; now each arm of the job is executed alone", 1)
    status = 0
    for config in configs:
        status = max(status, guarded(partial(_together, [config])))
        if status == _INTERRUPTED:
            break
    return status


def _together(configs: Sequence[Config]) -> int:
    from experiments.run import carry_out, prepare

    return carry_out(prepare(configs, is_study=True), configs[0])
