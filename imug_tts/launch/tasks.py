"""The processes of one job: each is a shard of its arms, and has GPUs of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from imug_tts.launch.jobs import Job

__all__ = ["is_at_work", "see_own_gpus", "task_number"]


def task_number() -> int:
    """The number of this process among those of its job, from 0."""
    return int(_environment().local_rank)


def see_own_gpus(task: int, tasks: int) -> None:
    """Leave this process its part of the job's GPUs in CUDA_VISIBLE_DEVICES, before anything looks at them.

    Without GPUs, and where SLURM has bound GPUs to each task (gpus_per_task), nothing changes.
    """
    visible = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    own, is_bound = len(visible) // tasks, "SLURM_GPUS_PER_TASK" in os.environ
    if own and not (is_bound and _environment().cluster == "slurm"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[task * own : (task + 1) * own])


def is_at_work(job: Job) -> bool:
    """Whether a process of a job on this machine is at its arms."""
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
