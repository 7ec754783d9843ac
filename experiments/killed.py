"""What the script of a job of SLURM does when a process of the job was killed: it queues the job again.

    python -m experiments.killed LAUNCH STATUS

A process that is killed (kill -9, no memory, a warning before Python listens) can do nothing itself. The job
is queued again while its arms are not complete; one that is killed many times before it adds a turn ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from experiments.command import complain, guarded
from experiments.launched import turns_done
from experiments.standing import standing_of
from imug_tts.launch import Job, is_left_to_the_job, own_number, read_jobs, requeue

__all__ = ["main"]

_INTERRUPTED = 130
_MOST_IN_A_ROW = 3
"""Times that a job without a new turn is queued again; a warning can come too early by chance."""


def main() -> int:
    """The script keeps the exit status of srun, whatever this one is."""
    launch, status = Path(sys.argv[1]), int(sys.argv[2])
    number = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    if status == _INTERRUPTED:  # the job ended by itself
        return 0
    return guarded(lambda: _go_on(read_jobs(launch)[number], launch.parents[1], status))


def _go_on(job: Job, study: Path, status: int) -> int:
    id = own_number()
    if all(standing_of(study / run).is_complete for run in job.runs) or not is_left_to_the_job(id):
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
