"""Checks of a study together with its launcher, before any job is submitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imug_tts.contracts import Backbone, ConfigurationError, Local
from imug_tts.knobs import parts
from imug_tts.launch import Queue
from imug_tts.registry import name_of

if TYPE_CHECKING:
    from experiments.run import Batch
    from imug_tts.runs import Share

__all__ = ["check_launch"]


def check_launch(batches: Sequence[Batch], queue: Queue) -> None:
    """Check that GPUs and shards can be divided among the processes of a job, and that a model uses the GPUs.

    Raises:
        ConfigurationError: a check failed; the message says what to change.
    """
    for batch in batches:
        _check_shards(batch.share, queue.tasks_per_node)
    tasks, gpus = queue.tasks_per_node, queue.gpus_per_node or 0
    if gpus % tasks:
        raise ConfigurationError(
            f"hydra.launcher.gpus_per_node={gpus} is not a multiple of tasks_per_node={tasks}, "
            f"but each process needs its own GPUs; choose tasks_per_node={gpus} (one GPU each) or a divisor"
        )
    if asked := _gpus_asked(queue):
        _check_models(batches, asked)


def _check_shards(share: Share, tasks: int) -> None:
    if tasks == 1:
        return
    if share.shard is not None:
        raise ConfigurationError(
            f"shard={share.shard} names one process, but with hydra.launcher.tasks_per_node={tasks} each job "
            f"has {tasks} processes, each with its own shard; leave shard out"
        )
    if share.shards > 1 and share.shards % tasks:
        raise ConfigurationError(
            f"shards={share.shards} is not a multiple of hydra.launcher.tasks_per_node={tasks}; "
            f"choose shards={-(-share.shards // tasks) * tasks}"
        )


def _gpus_asked(queue: Queue) -> str:
    """Return the setting that requests GPUs, e.g. "hydra.launcher.gpus_per_node=2"; empty if none does."""
    given = {name: getattr(queue, name, None) for name in ("gpus_per_node", "gpus_per_task", "gres")}
    asked = {name: value for name, value in given.items() if value and (name != "gres" or "gpu" in value)}
    return next((f"hydra.launcher.{name}={value}" for name, value in asked.items()), "")


def _check_models(batches: Sequence[Batch], asked: str) -> None:
    for run in (run for batch in batches for run in batch.runs):
        models = dict.fromkeys(name_of(type(model)) for model in run.models.values())
        if not any(map(_may_use_gpu, run.models.values())):
            raise ConfigurationError(
                f"{asked} requests a GPU, but no model of {run.title} computes on one ({', '.join(models)}); "
                "leave it out, so that the job does not reserve an unused GPU"
            )


def _may_use_gpu(model: Backbone) -> bool:
    """Return whether a model may use a GPU of its process.

    This cannot be tried out here, because the machine that submits may have no GPU.
    """
    if isinstance(model, Local):
        return not str(getattr(model, "device_map", "")).startswith("cpu")
    return any(isinstance(part, Backbone) and _may_use_gpu(part) for _, part in parts(model))
