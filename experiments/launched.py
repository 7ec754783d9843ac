"""A job of a study: what submitit starts in another process, on this machine or on a node of a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.command import Config, complain, guarded, leave
from experiments.standing import standing_of
from imug_tts.contracts import ConfigurationError, ModelDown
from imug_tts.launch import Job, Warned, go_on_later, is_at_work, own_number, see_own_gpus, task_number

__all__ = ["Launched", "turns_done"]

_INTERRUPTED = 130
_LOOK_EVERY_S = 0.5


class Launched:
    """Executes the arms of one job. It is pickled by submitit, and holds names alone."""

    def __init__(self, job: Job, study: str) -> None:
        self._job = job
        self._study = study

    def __call__(self) -> None:
        """Execute the arms, or go on with them; a warned job that may go on later is queued again."""
        job = self._job.processes()[task_number()]
        see_own_gpus(job.task, job.tasks)
        id = own_number() or job.id
        job.begin(id, turns_done(job, Path(self._study)))
        warned = Warned()  # before this, submitit's handler queues the job again
        try:
            status = guarded(lambda: _execute(list(_own(job))))
            if status != _INTERRUPTED:
                status = max(status, guarded(lambda: _await_the_others(job)))
        except KeyboardInterrupt:  # a second signal, while the first was being reported
            status = _INTERRUPTED
        warned.listen_no_more()
        if status == _INTERRUPTED:
            job.end("queued again")
            try:
                if not go_on_later(warned, job.queue, id):
                    job.end("stopped")
            except Exception as error:
                job.end("stopped")
                complain(f"{error} Give the same command again to go on.", 1)
        else:
            job.end("failed" if status else "done")
        if status:
            leave(status)

    def checkpoint(self) -> Any:
        """What submitit starts when the job goes on: the same, as the study's folder has all that is done."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def turns_done(job: Job, study: Path) -> int:
    """The turns of the job's arms that have their final outcome."""
    return sum(standing_of(study / run).done for run in job.runs)


def _own(job: Job) -> Iterator[Config]:
    """The configurations of the job's arms, each with the number of this process's shard."""
    for config in job.configurations():
        shard = config["shard"]
        yield {**config, "shard": None if shard is None else shard + job.task}


def _await_the_others(job: Job) -> int:
    """The first process of a job outlives the others, because it alone can queue the job again.

    Raises:
        KeyboardInterrupt: the job is warned or to end.
    """
    if job.task == 0 and job.tasks > 1:
        while any(is_at_work(each) for each in job.processes()[1:]):
            time.sleep(_LOOK_EVERY_S)
    return 0


def _execute(configs: Sequence[Config]) -> int:
    """Execute arms together; where one of them stops the others, each alone."""
    try:
        return _together(configs)
    except (ConfigurationError, ModelDown) as error:
        if len(configs) == 1:
            raise
        complain(f"{error}; each arm of the job is started alone", 1)
    status = 0
    for config in configs:
        status = max(status, guarded(partial(_together, [config])))
        if status == _INTERRUPTED:
            break
    return status


def _together(configs: Sequence[Config]) -> int:
    from experiments.run import carry_out, prepare

    return carry_out(prepare(configs, is_study=True), configs[0])
