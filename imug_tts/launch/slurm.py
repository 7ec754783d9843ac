"""What SLURM says: its jobs, its limits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import NamedTuple

__all__ = ["SlurmJob", "largest_array", "slurm_jobs", "state_of"]


class SlurmJob(NamedTuple):
    """A job that waits or runs."""

    state: str
    """As SLURM has it: PENDING, RUNNING, COMPLETING, ..."""
    place: str
    """Its nodes, or why it waits."""


def slurm_jobs() -> dict[str, SlurmJob] | None:
    """The user's jobs that wait or run, by number; None when SLURM does not answer."""
    told = _ask("squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T|%N|%r")
    if told is None:
        return None
    rows = [line.split("|") for line in told.splitlines() if line.count("|") == 3]
    return {number: SlurmJob(state, nodes or reason) for number, state, nodes, reason in rows}


def state_of(job: str) -> str:
    """The state of one job; empty when SLURM does not know it, or does not answer."""
    return (_ask("squeue", "--noheader", f"--jobs={job}", "--format=%T") or "").strip()


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
