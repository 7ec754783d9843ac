"""What SLURM says: its jobs, its limits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import NamedTuple

__all__ = ["SlurmJob", "is_left_to_the_job", "largest_array", "own_number", "requeue", "slurm_jobs"]


class SlurmJob(NamedTuple):
    """A job that waits or runs."""

    state: str
    """As SLURM has it: PENDING, RUNNING, COMPLETING, ..."""
    place: str
    """Its nodes, or why it waits."""
    script: str
    """The file that was submitted."""


def slurm_jobs() -> dict[str, SlurmJob] | None:
    """The user's jobs that wait or run, by number; None when SLURM does not answer."""
    told = _ask("squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T|%N|%r|%o")
    if told is None:
        return None
    rows = [line.split("|", maxsplit=4) for line in told.splitlines() if line.count("|") >= 4]
    return {number: SlurmJob(state, nodes or why, script) for number, state, nodes, why, script in rows}


def own_number() -> str:
    """The number of the job of SLURM in which this process runs; empty if it runs in none.

    A job of an array has its array's number and its place. SLURM_JOB_ID will not do: in one job of each array
    it is the number of the whole array.
    """
    array, place = (os.environ.get(f"SLURM_ARRAY_{part}") for part in ("JOB_ID", "TASK_ID"))
    return f"{array}_{place}" if array else os.environ.get("SLURM_JOB_ID", "")


def is_left_to_the_job(job: str) -> bool:
    """Whether a job that stops early is to queue itself again: it runs, or SLURM ends it at its time limit.

    A job that SLURM ends for another reason (scancel, preemption with requeue, scontrol requeue) is
    COMPLETING, and SLURM knows whether it begins again. False too when SLURM does not answer.
    """
    told = (_ask("squeue", "--noheader", f"--jobs={job}", "--format=%T %r") or "").strip()
    return told.startswith("RUNNING") or told.endswith(" TimeLimit")


def requeue(job: str) -> bool:
    """Queue a job again; whether SLURM took it."""
    return _ask("scontrol", "requeue", job) is not None


def largest_array() -> int | None:
    """Jobs that an array may have; None when SLURM does not say."""
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
