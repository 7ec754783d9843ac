"""The base class of backbones whose weights are in this process: dtype and device knobs, loading and
unloading.

A subclass implements `_load`, whose result `_loaded` holds. `torch_dtype`, `device` and
`from_pretrained_words` give the dtype and the devices for it. `is_loaded` and `unload` are implemented here.
"""

from __future__ import annotations

import gc
import sys
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from imug_tts.contracts import ConfigurationError, Local
from imug_tts.knobs import component
from imug_tts.local_model import SPREAD, LocalModel

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Native", "input_device"]


@component
class Native(LocalModel, Local):
    """Base class of backbones whose weights are in this process: placement, loading and unloading."""

    @property
    def is_spread(self) -> bool:
        """Whether accelerate distributes the layers over several devices."""
        return self.device_map in SPREAD

    @property
    def device(self) -> str:
        """The device of the model's inputs, e.g. "cuda:0". Imports torch unless the configuration names the
        device.
        """
        if self.device_map is not None and not self.is_spread:
            return "cuda:0" if self.device_map == "cuda" else self.device_map
        import torch

        return "cuda:0" if torch.cuda.is_available() else "cpu"

    def torch_dtype(self) -> torch.dtype | None:
        """The dtype that the knob `dtype` selects; None for that of the checkpoint."""
        import torch

        named: torch.dtype | None = None if self.dtype == "auto" else getattr(torch, self.dtype)
        return named

    def from_pretrained_words(self) -> dict[str, Any]:
        """The arguments for dtype and device of `from_pretrained` in transformers and diffusers.

        Raises:
            ConfigurationError: the device does not exist on this machine.
        """
        self.check_device()
        words = {"device_map": self.device_map if self.is_spread else {"": self.device}}
        offload = {} if self.offload_folder is None else {"offload_folder": str(self.offload_folder)}
        most = self._most_memory() if self.is_spread else None
        room = {} if most is None else {"max_memory": most}
        return {"dtype": self.torch_dtype() or "auto", **words, **room, **offload}

    def _most_memory(self) -> dict[int | str, int] | None:
        """The bytes that accelerate may use on each device; None if no knob limits them."""
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
        """Check that the device exists on this machine.

        Raises:
            ConfigurationError: the device does not exist; the message lists the available devices.
        """
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.device.startswith("cuda") and int(self.device.partition(":")[2]) >= count:
            there = ", ".join(["cpu", *(f"cuda:{number}" for number in range(count))])
            raise ConfigurationError(f"device_map is {self.device_map!r}; PyTorch finds here: {there}")

    def placed(self, module: nn.Module, whole: Sequence[str] = (), part: str = "") -> nn.Module:
        """The module on its device, or with its layers distributed as `device_map` selects.

        Args:
            module: any module; its dtype is kept.
            whole: module classes that must stay on one device, e.g. a decoder layer.
            part: the module's name in a model with several modules; names its subfolder of `offload_folder`.

        Raises:
            ConfigurationError: the device does not exist, or the module does not fit and `offload_folder` is
                null.
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
        """The device of each layer, as `device_map` selects.

        Args:
            module: the module with the layers.
            whole: module classes that must stay on one device.
            dtype: the dtype to which the layers will be converted; None if they keep theirs.

        Raises:
            ConfigurationError: the layers do not fit, and `offload_folder` is null.
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
        """Load the weights. `_loaded` holds the result until `unload`."""

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
        gc.collect()  # hooks and modules of a network form reference cycles
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def input_device(module: nn.Module) -> torch.device:
    """The device of a module's inputs: that of its weights, or the one to which accelerate moves them."""
    import torch

    weights = next(module.parameters())
    if weights.device.type != "meta":
        return weights.device
    hooks = (getattr(each, "_hf_hook", None) for each in module.modules())
    found = (getattr(hook, "execution_device", None) for hook in hooks)
    return torch.device(next(device for device in found if device is not None))
