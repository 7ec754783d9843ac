"""Cases: a model in this process estimates its memory and gives it back."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from imug_tts.contracts import Local
from imug_tts.testing.conformance.subject import Subject, alike, demand

if TYPE_CHECKING:
    import torch

__all__ = ["memory_is_estimated", "unloading_frees_and_loads_again"]

_NOT_LOCAL: Final = "it is not declared Local: its memory is not the engine's to give back"
_FACTOR: Final = 2.0
"""How far the estimate of the weights may be from their bytes, either way."""
_LEFT: Final = 0.05
"""The share of the bytes of a loaded model that may be left after `unload`."""


def memory_is_estimated(subject: Subject) -> list[str]:
    """`memory.weights` is known before loading, and within a factor of 2 of the bytes that are loaded."""
    if not isinstance(subject.backbone, Local):
        return [_NOT_LOCAL]
    model = subject.again()
    assert isinstance(model, Local)
    need = model.memory
    demand(not model.is_loaded, "the estimate of memory loaded the weights")
    demand(min(need.per_turn, need.per_candidate) >= 0, f"the estimate has negative bytes: {need}")
    before = _bytes(_weights()), _bytes(_tensors())
    model.generate([subject.request(subject.outputs[0])])
    demand(model.is_loaded, "after a call of generate is_loaded is False")
    of_modules, of_tensors = _bytes(_weights()) - before[0], _bytes(_tensors()) - before[1]
    loaded = of_modules or of_tensors  # a model may be made without modules
    model.unload()
    within = need.weights / _FACTOR <= loaded <= need.weights * _FACTOR
    demand(within, f"memory.weights is {need.weights} bytes, and {loaded} were loaded")
    return []


def unloading_frees_and_loads_again(subject: Subject) -> list[str]:
    """`unload` frees weights and caches; the next call loads again and gives the same candidate."""
    if not isinstance(subject.backbone, Local):
        return [_NOT_LOCAL]
    model = subject.again()
    assert isinstance(model, Local)
    request = subject.request(subject.outputs[0])
    before = _bytes(_tensors())
    [[first]] = model.generate([request])
    loaded = _bytes(_tensors()) - before
    model.unload()
    demand(not model.is_loaded, "after unload() is_loaded is True")
    left = _bytes(_tensors()) - before
    demand(left <= _LEFT * loaded, f"unload() left {left} of {loaded} bytes of tensors")
    [[again]] = model.generate([request])
    model.unload()
    if subject.seeds != "none":
        demand(alike(first, again, subject.seeds), "after unload() the same call gives another candidate")
    return []


def _tensors() -> list[torch.Tensor]:
    """All tensors of this process that Python code can reach."""
    import torch

    gc.collect()
    return [held for held in gc.get_objects() if issubclass(type(held), torch.Tensor)]


def _weights() -> list[torch.Tensor]:
    """The parameters and buffers of all modules of this process."""
    import torch

    gc.collect()
    modules = [held for held in gc.get_objects() if issubclass(type(held), torch.nn.Module)]
    return [tensor for module in modules for tensor in _own(module)]


def _own(module: Any) -> Iterator[torch.Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)


def _bytes(tensors: Any) -> int:
    """The bytes that tensors hold; those that share a storage count once."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in tensors
        if tensor.device.type != "meta"
    }
    return sum(storages.values())
