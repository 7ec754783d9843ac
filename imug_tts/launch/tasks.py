"""The processes of one job: each is a shard of the job's arms, with its own GPUs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from imug_tts.launch.jobs import Job

__all__ = ["is_at_work", "see_own_gpus", "task_number"]


def task_number() -> int:
    """Return the index of this process in its job, from 0."""
    return int(_environment().local_rank)


def see_own_gpus(task: int, tasks: int) -> None:
    """Restrict CUDA_VISIBLE_DEVICES to this process's share of the job's GPUs; call before CUDA starts.

    Nothing changes without GPUs, and if SLURM has bound GPUs to each task (gpus_per_task).
    """
    visible = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    own, is_bound = len(visible) // tasks, "SLURM_GPUS_PER_TASK" in os.environ
    if own and not (is_bound and _environment().cluster == "slurm"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[task * own : (task + 1) * own])


def is_at_work(job: Job) -> bool:
    """Return whether a process of a job on this machine is running."""
    state = job.state()
    if not state or state["end"] is not None:
        return False
    try:
        return b"submitit" in Path("/proc", str(state["pid"]), "cmdline").read_bytes()
    except OSError:
        return False


def _environment() -> Any:
    import submitit

    return submitit.JobEnvironment()
