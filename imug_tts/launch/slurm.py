"""Queries to SLURM: the user's jobs, the job of this process, and limits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import NamedTuple

__all__ = ["SlurmJob", "largest_array", "must_requeue_itself", "own_job_id", "requeue", "slurm_jobs"]


class SlurmJob(NamedTuple):
    """A job that is waiting or running."""

    state: str
    """The state in SLURM's terms: PENDING, RUNNING, COMPLETING, ..."""
    place: str
    """The nodes of the job, or the reason why it waits."""
    script: str
    """The submitted script."""


def slurm_jobs() -> dict[str, SlurmJob] | None:
    """Return the user's waiting and running jobs, by job id; None if SLURM does not respond."""
    listed = _ask("squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T|%N|%r|%o")
    if listed is None:
        return None
    rows = [line.split("|", maxsplit=4) for line in listed.splitlines() if line.count("|") >= 4]
    return {number: SlurmJob(state, nodes or why, script) for number, state, nodes, why, script in rows}


def own_job_id() -> str:
    """Return the id of the SLURM job in which this process runs; empty outside of SLURM.

    The id in an array is the array's id and the index. SLURM_JOB_ID cannot be used: in one job of each array
    it is the id of the whole array.
    """
    array, place = (os.environ.get(f"SLURM_ARRAY_{part}") for part in ("JOB_ID", "TASK_ID"))
    return f"{array}_{place}" if array else os.environ.get("SLURM_JOB_ID", "")


def must_requeue_itself(job: str) -> bool:
    """Return whether a job that stops early must requeue itself: it runs, or reached its time limit.

    A job that SLURM ends for another reason (scancel, preemption with requeue, scontrol requeue) is
    COMPLETING, and SLURM decides whether to requeue it. Returns False too if SLURM does not respond.
    """
    told = (_ask("squeue", "--noheader", f"--jobs={job}", "--format=%T %r") or "").strip()
    return told.startswith("RUNNING") or told.endswith(" TimeLimit")


def requeue(job: str) -> bool:
    """Requeue a job; return whether SLURM accepted that."""
    return _ask("scontrol", "requeue", job) is not None


def largest_array() -> int | None:
    """Return the largest number of jobs in an array; None if SLURM does not report it."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config") or "")
    return int(found[1]) if found else None


def _ask(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None
