"""The base class of backbones whose weights are in this process, with the knobs for their type and device.

A subclass gives `_load`, which builds what `_loaded` then holds. `torch_dtype`, `device` and
`from_pretrained_words` say in which type and where. `is_loaded` and `unload` are done here.
"""

from __future__ import annotations

import gc
import sys
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from imug_tts.contracts import ConfigurationError, Local
from imug_tts.knobs import Folder, component, knob

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Native"]

_SPREAD: Final = ("auto", "balanced", "balanced_low_0", "sequential")


@component
class Native(Local):
    """Base of the backbones whose weights are in this process: how they are placed, loaded and unloaded."""

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
    prefix_cache_gib: float = knob(
        "Memory for keys and values of earlier prompts, which later turns continue, in GiB.",
        default=2.0,
        ge=0,
        runtime=True,
    )

    @property
    def prefix_cache_bytes(self) -> int:
        return int(self.prefix_cache_gib * (1 << 30))

    @property
    def is_spread(self) -> bool:
        """Whether accelerate distributes the layers over several devices."""
        return self.device_map in _SPREAD

    @property
    def device(self) -> str:
        """See `Local`. Imports torch unless the configuration names the device."""
        if self.device_map is not None and not self.is_spread:
            return "cuda:0" if self.device_map == "cuda" else self.device_map
        import torch

        return "cuda:0" if torch.cuda.is_available() else "cpu"

    def torch_dtype(self) -> torch.dtype | None:
        """The type of the knob `dtype`; None for the checkpoint's own."""
        import torch

        named: torch.dtype | None = None if self.dtype == "auto" else getattr(torch, self.dtype)
        return named

    def from_pretrained_words(self) -> dict[str, Any]:
        """Arguments of transformers' and diffusers' `from_pretrained` for type and device.

        Raises:
            ConfigurationError: the device does not exist here.
        """
        self.check_device()
        words = {"device_map": self.device_map if self.is_spread else {"": self.device}}
        offload = {} if self.offload_folder is None else {"offload_folder": str(self.offload_folder)}
        return {"dtype": self.torch_dtype() or "auto", **words, **offload}

    def check_device(self) -> None:
        """Check that the device exists here.

        Raises:
            ConfigurationError: it does not; says what is there.
        """
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.device.startswith("cuda") and int(self.device.partition(":")[2]) >= count:
            there = ", ".join(["cpu", *(f"cuda:{number}" for number in range(count))])
            raise ConfigurationError(f"device_map is {self.device_map!r}; PyTorch finds here: {there}")

    def placed(self, module: nn.Module, whole: Sequence[str] = ()) -> nn.Module:
        """A module moved to its device, or its layers spread as `device_map` says.

        Args:
            module: any module; its type of numbers stays.
            whole: classes of modules that must not be split over devices, e.g. a decoder layer.

        Raises:
            ConfigurationError: the device does not exist here.
        """
        self.check_device()
        if not self.is_spread:
            return module.to(self.device)
        from accelerate import dispatch_model, infer_auto_device_map  # type: ignore[import-untyped]
        from accelerate.utils import get_balanced_memory  # type: ignore[import-untyped]

        room = None
        if self.device_map != "sequential":
            low_zero = self.device_map == "balanced_low_0"
            room = get_balanced_memory(module, no_split_module_classes=list(whole), low_zero=low_zero)
        spread = infer_auto_device_map(module, max_memory=room, no_split_module_classes=list(whole))
        dispatched: nn.Module = dispatch_model(module, spread, offload_dir=self.offload_folder)
        return dispatched

    @abstractmethod
    def _load(self) -> Any:
        """Load the weights; what `_loaded` holds until `unload`."""

    @cached_property
    def _loaded(self) -> Any:
        try:
            return self._load()
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{type(self).__name__} needs {error.name}; install it with: pip install 'imug_tts[models]'"
            ) from error

    @property
    def is_loaded(self) -> bool:
        return "_loaded" in vars(self)

    def unload(self) -> None:
        vars(self).pop("_loaded", None)
        gc.collect()  # a network's hooks and modules refer to each other
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
