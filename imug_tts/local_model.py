"""The knobs of a model in this process, for its backbone and for judges that bring it."""

from __future__ import annotations

from typing import Final, Literal

from imug_tts.knobs import Folder, component, knob

__all__ = ["SPREAD", "LocalModel"]

SPREAD: Final = ("auto", "balanced", "balanced_low_0", "sequential")
"""Values of `device_map` by which accelerate spreads the layers of a model over several devices."""


@component
class LocalModel:
    """Which checkpoint is loaded, in which type, and where."""

    folder: Folder = knob("The folder of the downloaded model.", named=True)
    dtype: Literal["auto", "float64", "float32", "bfloat16", "float16"] = knob(
        "Type of weights and computations; auto is the type of the checkpoint. Seeds are exact in float64.",
        default="auto",
    )
    device_map: str | None = knob(
        "One device (cpu, cuda:0), or auto, balanced, balanced_low_0 or sequential to spread the layers over "
        "all GPUs with accelerate; null for the first GPU, or the CPU where there is none.",
        default=None,
        runtime=True,
        pattern=r"^(cpu|cuda(:\d+)?|auto|balanced|balanced_low_0|sequential)$",
    )
    offload_folder: Folder | None = knob(
        "Where accelerate puts layers that fit neither GPUs nor memory, if device_map spreads them.",
        default=None,
        runtime=True,
    )
    max_gpu_gib: float | None = knob(
        "Most GiB of weights on each GPU if device_map spreads them; null for what is free.",
        default=None,
        gt=0,
        runtime=True,
    )
    max_cpu_gib: float | None = knob(
        "Most GiB of weights in memory if device_map spreads them; null for what is free. The rest goes to "
        "offload_folder.",
        default=None,
        gt=0,
        runtime=True,
    )
