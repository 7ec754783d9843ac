"""Requeue a SLURM job after one of its processes was killed. The job's own script calls this.

    python -m experiments.killed LAUNCH STATUS

A killed process (kill -9, out of memory, a signal before Python handles it) cannot requeue the job itself.
The job is requeued while its arms are not complete. A job that is killed repeatedly without a new turn ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from experiments.command import complain, guarded
from experiments.launched import turns_done
from experiments.standing import standing_of
from imug_tts.launch import Job, must_requeue_itself, own_job_id, read_jobs, requeue

__all__ = ["main"]

_INTERRUPTED = 130
_MOST_IN_A_ROW = 3
"""How often a job without a new turn is requeued. More than once, because a signal can come too early by
chance.
"""


def main() -> int:
    """Requeue the job if necessary; return the exit status, which the script ignores in favour of srun's."""
    launch, status = Path(sys.argv[1]), int(sys.argv[2])
    number = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    if status == _INTERRUPTED:  # the job ended by itself
        return 0
    return guarded(lambda: _go_on(read_jobs(launch)[number], launch.parents[1], status))


def _go_on(job: Job, study: Path, status: int) -> int:
    id = own_job_id()
    if all(standing_of(study / run).is_complete for run in job.runs) or not must_requeue_itself(id):
        return 0
    times = job.killed(turns_done(job, study))
    if times > _MOST_IN_A_ROW:
        return complain(
            f"a process was killed {times} times before a turn was added, so the job is not queued again; "
            "see why, then give the same command again",
            1,
        )
    if not requeue(id):
        return complain("a process was killed, and SLURM does not queue the job again", 1)
    return complain(f"a process was killed ({status} from srun); the job is queued again", 0)


if __name__ == "__main__":
    sys.exit(main())
