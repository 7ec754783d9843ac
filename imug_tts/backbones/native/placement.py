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
from typing import TYPE_CHECKING, Any

from imug_tts.contracts import ConfigurationError, Local
from imug_tts.knobs import component, knob
from imug_tts.local_model import SPREAD, LocalModel

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Native", "input_device"]


@component
class Native(LocalModel, Local):
    """Base of the backbones whose weights are in this process: how they are placed, loaded and unloaded."""

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
        return self.device_map in SPREAD

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
        most = self._most_memory() if self.is_spread else None
        room = {} if most is None else {"max_memory": most}
        return {"dtype": self.torch_dtype() or "auto", **words, **room, **offload}

    def _most_memory(self) -> dict[int | str, int] | None:
        """Bytes that accelerate may use of each device, where a knob limits them."""
        if self.max_gpu_gib is None and self.max_cpu_gib is None:
            return None
        from accelerate.utils import get_max_memory  # type: ignore[import-untyped]

        free: dict[int | str, int] = get_max_memory()
        limits = {device: self.max_cpu_gib if device == "cpu" else self.max_gpu_gib for device in free}
        return {
            device: there if (most := limits[device]) is None else min(there, int(most * (1 << 30)))
            for device, there in free.items()
        }

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

    def placed(self, module: nn.Module, whole: Sequence[str] = (), part: str = "") -> nn.Module:
        """A module moved to its device, or its layers spread as `device_map` says.

        Args:
            module: any module; its type of numbers stays.
            whole: classes of modules that must not be split over devices, e.g. a decoder layer.
            part: what the module is of a model that has several; names its folder in `offload_folder`.

        Raises:
            ConfigurationError: the device does not exist here, or there is no room and no `offload_folder`.
        """
        self.check_device()
        if not self.is_spread:
            return module.to(self.device)
        from accelerate import dispatch_model  # type: ignore[import-untyped]

        spread = self.spread(module, whole)
        folder = None if self.offload_folder is None else self.offload_folder / part
        dispatched: nn.Module = dispatch_model(module, spread, offload_dir=folder)
        return dispatched

    def spread(
        self, module: nn.Module, whole: Sequence[str], dtype: torch.dtype | None = None
    ) -> dict[str, int | str]:
        """The device of each layer, as `device_map` says.

        Args:
            module: its layers.
            whole: classes of modules that must not be split over devices.
            dtype: the type that the layers will have; None for the one that they have.

        Raises:
            ConfigurationError: layers fit nowhere, and there is no `offload_folder`.
        """
        from accelerate import infer_auto_device_map
        from accelerate.utils import get_balanced_memory

        layers: dict[str, Any] = {"no_split_module_classes": list(whole), "dtype": dtype}
        room = self._most_memory()
        if room is None and self.device_map != "sequential":
            room = get_balanced_memory(module, low_zero=self.device_map == "balanced_low_0", **layers)
        places: dict[str, int | str] = infer_auto_device_map(module, max_memory=room, **layers)
        if "disk" in places.values() and self.offload_folder is None:
            raise ConfigurationError(
                f"the weights in {self.folder} fit neither the GPUs nor memory; set offload_folder to a "
                "folder for the rest, load a smaller type (dtype), or allow more (max_gpu_gib, max_cpu_gib)"
            )
        return places

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


def input_device(module: nn.Module) -> torch.device:
    """Where a module takes its inputs: where its weights are, or where accelerate brings them to compute."""
    import torch

    weights = next(module.parameters())
    if weights.device.type != "meta":
        return weights.device
    hooks = (getattr(each, "_hf_hook", None) for each in module.modules())
    found = (getattr(hook, "execution_device", None) for hook in hooks)
    return torch.device(next(device for device in found if device is not None))
