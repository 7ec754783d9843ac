"""The knobs of `hydra/launcher`: queues that start jobs. Names are those of hydra-submitit-launcher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imug_tts.knobs import Several, component, knob

__all__ = ["LocalQueue", "Queue", "SlurmQueue"]


@component
class Queue:
    """The knobs that all launchers share."""

    arms_per_job: int = knob(
        "Most arms per job; arms of a job share loaded weights and batches, and have the same backbone.",
        default=1,
        ge=1,
        runtime=True,
    )
    wait: bool = knob(
        "Whether the command waits for its last job; jobs continue if the command ends before.",
        default=True,
        runtime=True,
    )
    timeout_min: int = knob("Time limit of a job in minutes.", default=60, ge=1, runtime=True)
    signal_delay_s: int = knob(
        "Seconds before the time limit at which a job gets a signal, stops making calls and is requeued.",
        default=120,
        ge=5,
        runtime=True,
    )
    max_num_timeout: int = knob(
        "Most times that a job is requeued after its time limit; it resumes without repeating calls.",
        default=100,
        ge=0,
        runtime=True,
    )
    gpus_per_node: int | None = knob("GPUs per job.", default=None, ge=0, runtime=True)
    cpus_per_task: int | None = knob("CPU cores per process.", default=None, ge=1, runtime=True)
    mem_gb: float | None = knob("Memory per job in GB.", default=None, gt=0, runtime=True)
    nodes: int = knob(
        "Nodes per job; use several jobs for several nodes.", default=1, ge=1, le=1, runtime=True
    )
    tasks_per_node: int = knob(
        "Processes per job. Each is a shard of the job's arms and sees its share of the job's GPUs.",
        default=1,
        ge=1,
        runtime=True,
    )
    name: str = knob("Name of the jobs.", default="imug_tts", runtime=True, pattern=r"^[\w.+-]+$")
    stderr_to_stdout: bool = knob(
        "Whether standard error goes to the log of standard output.", default=False, runtime=True
    )
    setup: Several[str] = knob(
        "Shell commands to run before the job, e.g. [module load cuda].", default=(), runtime=True
    )
    submitit_folder: str | None = knob(
        "Folder of logs and scripts, with a subfolder for each launch; null for STUDY/.submitit.",
        default=None,
        runtime=True,
    )


@component
class LocalQueue(Queue):
    """Runs jobs as processes on this machine."""

    array_parallelism: int = knob("Most jobs that run at the same time.", default=2, ge=1, runtime=True)


@component
class SlurmQueue(Queue):
    """Submits jobs to SLURM, in one array."""

    array_parallelism: int = knob("Most jobs that run at the same time.", default=256, ge=1, runtime=True)
    partition: str | None = knob("SLURM partition.", default=None, runtime=True)
    account: str | None = knob("SLURM account that is charged.", default=None, runtime=True)
    qos: str | None = knob("SLURM quality of service (QOS).", default=None, runtime=True)
    comment: str | None = knob("Comment of the jobs.", default=None, runtime=True)
    constraint: str | None = knob("Node features that jobs require.", default=None, runtime=True)
    exclude: str | None = knob("Nodes to exclude.", default=None, runtime=True)
    gres: str | None = knob("Generic resources, e.g. gpu:a100:1.", default=None, runtime=True)
    cpus_per_gpu: int | None = knob("CPU cores per GPU.", default=None, ge=1, runtime=True)
    gpus_per_task: int | None = knob("GPUs per process.", default=None, ge=0, runtime=True)
    mem_per_gpu: str | None = knob("Memory per GPU, e.g. 40G.", default=None, runtime=True)
    mem_per_cpu: str | None = knob("Memory per CPU core, e.g. 4G.", default=None, runtime=True)
    additional_parameters: Mapping[str, Any] = knob(
        "Other options of sbatch by name, e.g. {mail-type: END, reservation: night}.",
        default_factory=dict,
        runtime=True,
    )
