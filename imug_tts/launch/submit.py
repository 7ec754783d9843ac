"""Submits jobs through submitit, after checking that they can be submitted."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from imug_tts.contracts import ConfigurationError
from imug_tts.launch.queues import LocalQueue, Queue, SlurmQueue
from imug_tts.launch.slurm import largest_array

__all__ = ["check_queue", "disk_of", "submit"]

_OURS: Final = frozenset(["arms_per_job", "wait", "max_num_timeout", "submitit_folder"])
_GENERAL: Final = frozenset(
    [
        *("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node"),
        "stderr_to_stdout",
    ]
)
"""Options that have the same name in submitit for every kind of cluster."""
_LOCAL: Final = frozenset(
    ["timeout_min", "signal_delay_s", "gpus_per_node", "tasks_per_node", "stderr_to_stdout", "setup"]
)
_SHARED_DISKS: Final = frozenset(
    ["nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "afs", "panfs", "wekafs", "cifs", "smb3", "9p"]
)
"""File systems that several machines share; FUSE file systems count as shared."""


def check_queue(queue: Queue, jobs: int) -> None:
    """Check that `jobs` jobs can be submitted.

    Raises:
        ConfigurationError: submitit or SLURM is missing, or the array is too large; says what to do.
    """
    kind = "submitit_slurm" if isinstance(queue, SlurmQueue) else "submitit_local"
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            f"hydra/launcher={kind} needs submitit; install it with: pip install 'imug_tts[slurm]'"
        ) from None
    if queue.signal_delay_s >= 60 * queue.timeout_min:
        raise ConfigurationError(
            f"hydra.launcher.signal_delay_s is {queue.signal_delay_s}, and a job has {queue.timeout_min} "
            f"minutes in all; set it below {60 * queue.timeout_min}, so that it works before it is warned"
        )
    if isinstance(queue, SlurmQueue):
        _check_slurm(queue, jobs)
    elif isinstance(queue, LocalQueue) and not queue.wait and jobs > queue.array_parallelism:
        raise ConfigurationError(
            f"hydra.launcher.wait=false starts all {jobs} jobs at once, and hydra.launcher.array_parallelism "
            f"is {queue.array_parallelism}; raise it or hydra.launcher.arms_per_job, or leave wait=false out"
        )


def submit(queue: Queue, folder: Path, work: Sequence[Callable[[], Any]], if_killed: str) -> list[Any]:
    """Submit one job per function in `work`; return submitit's jobs.

    Args:
        folder: folder of submitit's scripts and logs.
        work: functions that can be pickled, with a method `checkpoint` if they may be requeued.
        if_killed: Python arguments that the script of a SLURM job runs if a signal ended a process of the
            job; `$status` in them is the exit status of srun, 128 plus the number of the signal.

    Raises:
        ConfigurationError: SLURM rejects the jobs; gives SLURM's reason.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = _executor(queue, folder, if_killed)
    try:
        with executor.batch():
            return [executor.submit(each) for each in work]
    except (FailedJobError, FailedSubmissionError) as error:
        said = " ".join(str(error).split())
        raise ConfigurationError(f"the jobs were not submitted: {said}") from error


def disk_of(folder: Path) -> str:
    """Return the file system type of a folder on a local disk; empty if other machines may see the disk."""
    existing = next(
        each for each in (folder.absolute(), *folder.absolute().parents) if each.exists()
    ).resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    points = [(point, kind) for point, kind in mounts if existing.is_relative_to(point)]
    _, kind = max(points, key=lambda each: len(each[0]), default=("", "nfs"))
    return "" if kind in _SHARED_DISKS or kind.startswith("fuse") else kind


def _check_slurm(queue: SlurmQueue, jobs: int) -> None:
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise ConfigurationError(
            "hydra/launcher=submitit_slurm finds no sbatch on this machine; give the command on a login node "
            "of the cluster, or choose hydra/launcher=submitit_local"
        )
    largest = largest_array()
    if largest is not None and jobs > largest:
        least = -(-jobs * queue.arms_per_job // largest)
        raise ConfigurationError(
            f"the study makes {jobs:,} jobs, and an array of this SLURM has {largest:,} at most "
            f"(MaxArraySize); set hydra.launcher.arms_per_job={least}"
        )


def _executor(queue: Queue, folder: Path, if_killed: str) -> Any:
    import submitit

    given = {each.name: getattr(queue, each.name) for each in fields(queue) if each.name not in _OURS}
    knobs = {name: value for name, value in given.items() if value not in (None, (), {})}
    if "setup" in knobs:
        knobs["setup"] = list(knobs["setup"])
    if isinstance(queue, SlurmQueue):
        knobs["additional_parameters"] = {"requeue": True, **queue.additional_parameters}
        knobs["teardown"] = [
            "status=$?",
            f"[ $status -le 128 ] || {shlex.quote(sys.executable)} {if_killed}",
            "exit $status",
        ]
        if (
            queue.tasks_per_node > 1
        ):  # the end of one process must not end the others, whatever the cluster's default
            knobs["srun_args"] = ["--kill-on-bad-exit=0", "--wait=0"]
        executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=queue.max_num_timeout)
        executor.update_parameters(
            **{name if name in _GENERAL else f"slurm_{name}": value for name, value in knobs.items()}
        )
        return executor
    local = submitit.LocalExecutor(folder, max_num_timeout=queue.max_num_timeout)
    local.update_parameters(**{name: value for name, value in knobs.items() if name in _LOCAL})
    return local
