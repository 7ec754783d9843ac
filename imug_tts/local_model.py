"""The knobs of a model in this process, shared by its backbone and by judges that own one."""

from __future__ import annotations

from typing import Final, Literal

from imug_tts.knobs import Folder, component, knob

__all__ = ["SPREAD", "LocalModel"]

SPREAD: Final = ("auto", "balanced", "balanced_low_0", "sequential")
"""Values of `device_map` with which accelerate spreads the layers of a model over several devices."""


@component
class LocalModel:
    """The checkpoint, the dtype and the devices of a model in this process."""

    folder: Folder = knob("The folder of the downloaded model.", named=True)
    dtype: Literal["auto", "float64", "float32", "bfloat16", "float16"] = knob(
        "dtype of weights and computation; auto is that of the checkpoint. Seeds are exact in float64.",
        default="auto",
    )
    device_map: str | None = knob(
        "One device (cpu, cuda:0), or auto, balanced, balanced_low_0 or sequential to spread the layers over "
        "all GPUs with accelerate; null for the first GPU, or the CPU if there is no GPU.",
        default=None,
        runtime=True,
        pattern=r"^(cpu|cuda(:\d+)?|auto|balanced|balanced_low_0|sequential)$",
    )
    offload_folder: Folder | None = knob(
        "Folder for layers that fit neither on GPUs nor in memory, if device_map spreads layers.",
        default=None,
        runtime=True,
    )
    max_gpu_gib: float | None = knob(
        "Most GiB of weights on each GPU if device_map spreads layers; null for all free memory.",
        default=None,
        gt=0,
        runtime=True,
    )
    max_cpu_gib: float | None = knob(
        "Most GiB of weights in memory if device_map spreads layers; null for all free memory. Other layers "
        "go to offload_folder.",
        default=None,
        gt=0,
        runtime=True,
    )
