"""A job of a study: what submitit starts in another process, on this machine or on a node of a cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.command import Config, complain, guarded, leave
from experiments.standing import standing_of
from imug_tts.contracts import ConfigurationError, ModelDown
from imug_tts.launch import Job, Warned, go_on_later

__all__ = ["Launched"]

_INTERRUPTED = 130


class Launched:
    """Executes the arms of one job. It is pickled by submitit, and holds names alone."""

    def __init__(self, job: Job, study: str) -> None:
        self._job = job
        self._study = study

    def __call__(self) -> None:
        """Execute the arms, or go on with them; a warned job that may go on later is queued again."""
        job, warned = self._job, Warned()
        done = sum(standing_of(Path(self._study, run)).done for run in job.runs)
        job.begin(done)
        status = guarded(lambda: _execute(job.configurations()))
        if status == _INTERRUPTED:
            job.end("queued again")
            try:
                if not go_on_later(warned, job.queue, _id_in_the_queue(job)):
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


def _execute(configs: Sequence[Config]) -> int:
    """Execute arms together; where one of them stops the others, each alone."""
    try:
        return _together(configs)
    except (ConfigurationError, ModelDown) as error:
        if len(configs) == 1:
            raise
        complain(f"{error}; each arm of the job is started alone", 1)
    return max(guarded(lambda config=config: _together([config])) for config in configs)  # type: ignore[misc]


def _together(configs: Sequence[Config]) -> int:
    from experiments.run import carry_out, prepare

    return carry_out(prepare(configs, is_study=True), configs[0])


def _id_in_the_queue(job: Job) -> str:
    """The number of this job; the environment has it before the submitting process has written it down."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}") for part in ("JOB_ID", "TASK_ID"))
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID", job.id)
