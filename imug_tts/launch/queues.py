"""How jobs are started: the knobs of `hydra/launcher`, named as hydra-submitit-launcher names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imug_tts.knobs import Several, component, knob

__all__ = ["LocalQueue", "Queue", "SlurmQueue"]


@component
class Queue:
    """What every launcher of jobs has."""

    arms_per_job: int = knob(
        "Arms that share a job, its loaded weights and its batches; only arms on the same backbone do.",
        default=1,
        ge=1,
        runtime=True,
    )
    wait: bool = knob(
        "Whether the command ends with its last job, and not at once; jobs need no living parent.",
        default=True,
        runtime=True,
    )
    timeout_min: int = knob("Time limit of a job in minutes.", default=60, ge=1, runtime=True)
    signal_delay_s: int = knob(
        "Seconds before the time limit at which a job is warned, stops asking and is queued again.",
        default=120,
        ge=5,
        runtime=True,
    )
    max_num_timeout: int = knob(
        "Times that a job is queued again after its time limit. It goes on where it stopped, at no cost.",
        default=100,
        ge=0,
        runtime=True,
    )
    gpus_per_node: int | None = knob("GPUs of a job.", default=None, ge=0, runtime=True)
    cpus_per_task: int | None = knob("Processors of a job.", default=None, ge=1, runtime=True)
    mem_gb: float | None = knob("Memory of a job in GB.", default=None, gt=0, runtime=True)
    nodes: int = knob("Nodes of a job; several nodes are several jobs.", default=1, ge=1, le=1, runtime=True)
    tasks_per_node: int = knob(
        "Processes of a job. Each is a shard of its arms and sees its part of the job's GPUs.",
        default=1,
        ge=1,
        runtime=True,
    )
    name: str = knob("Name of the jobs.", default="imug_tts", runtime=True, pattern=r"^[\w.+-]+$")
    stderr_to_stdout: bool = knob(
        "Whether errors stand in the same log as all else.", default=False, runtime=True
    )
    setup: Several[str] = knob(
        "Shell commands before the job, e.g. [module load cuda].", default=(), runtime=True
    )
    submitit_folder: str | None = knob(
        "Where logs and scripts are kept, in a folder for each launch; null for STUDY/.submitit.",
        default=None,
        runtime=True,
    )


@component
class LocalQueue(Queue):
    """Jobs as processes on this machine."""

    array_parallelism: int = knob(
        "Jobs that run at the same time; the next begins when one ends.", default=2, ge=1, runtime=True
    )


@component
class SlurmQueue(Queue):
    """Jobs of SLURM, in one array."""

    array_parallelism: int = knob("Jobs that run at the same time.", default=256, ge=1, runtime=True)
    partition: str | None = knob("Partition of the cluster.", default=None, runtime=True)
    account: str | None = knob("Account that pays.", default=None, runtime=True)
    qos: str | None = knob("Quality of service.", default=None, runtime=True)
    comment: str | None = knob("Comment of the jobs.", default=None, runtime=True)
    constraint: str | None = knob("Features that nodes must have.", default=None, runtime=True)
    exclude: str | None = knob("Nodes that are not used.", default=None, runtime=True)
    gres: str | None = knob("Generic resources, e.g. gpu:a100:1.", default=None, runtime=True)
    cpus_per_gpu: int | None = knob("Processors for each GPU.", default=None, ge=1, runtime=True)
    gpus_per_task: int | None = knob("GPUs of the process.", default=None, ge=0, runtime=True)
    mem_per_gpu: str | None = knob("Memory for each GPU, e.g. 40G.", default=None, runtime=True)
    mem_per_cpu: str | None = knob("Memory for each processor, e.g. 4G.", default=None, runtime=True)
    additional_parameters: Mapping[str, Any] = knob(
        "Other options of sbatch by name, e.g. {mail-type: END, reservation: night}.",
        default_factory=dict,
        runtime=True,
    )
