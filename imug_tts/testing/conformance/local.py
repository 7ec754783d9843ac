"""Cases: a model in this process estimates its memory, and `unload` frees it."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from imug_tts.contracts import Local
from imug_tts.testing.conformance.subject import Subject, alike, demand, new_objects

if TYPE_CHECKING:
    import torch

__all__ = ["memory_is_estimated", "unloading_frees_and_loads_again"]

_NOT_LOCAL: Final = "it is not declared Local: its memory is not the engine's to give back"
_FACTOR: Final = 2.0
"""Maximum factor between the estimate of the weights and their actual bytes."""
_LEFT: Final = 0.05
"""Maximum share of a loaded model's bytes that may remain after `unload`."""


def memory_is_estimated(subject: Subject) -> list[str]:
    """Case: `memory.weights` is known before loading, and within a factor of 2 of the loaded bytes."""
    if not isinstance(subject.backbone, Local):
        return [_NOT_LOCAL]
    model = subject.again()
    assert isinstance(model, Local)
    need = model.memory
    demand(not model.is_loaded, "the estimate of memory loaded the weights")
    demand(min(need.per_turn, need.per_candidate) >= 0, f"the estimate has negative bytes: {need}")
    with new_objects():
        model.generate([subject.any_request()])
        demand(model.is_loaded, "after a call of generate is_loaded is False")
        loaded = _bytes(_weights()) or _bytes(_tensors())  # a model may be made without modules
        model.unload()
    within = need.weights / _FACTOR <= loaded <= need.weights * _FACTOR
    demand(within, f"memory.weights is {need.weights} bytes, and {loaded} were loaded")
    return []


def unloading_frees_and_loads_again(subject: Subject) -> list[str]:
    """Case: `unload` frees weights and caches; the next call loads again and gives the same candidate."""
    if not isinstance(subject.backbone, Local):
        return [_NOT_LOCAL]
    model = subject.again()
    assert isinstance(model, Local)
    request = subject.any_request()
    with new_objects():
        [[first]] = model.generate([request])
        loaded = _bytes(_tensors())
        model.unload()
        demand(not model.is_loaded, "after unload() is_loaded is True")
        left = _bytes(_tensors())
    demand(left <= _LEFT * loaded, f"unload() left {left} of {loaded} bytes of tensors")
    [[again]] = model.generate([request])
    model.unload()
    if subject.seeds != "none":
        demand(alike(first, again, subject.seeds), "after unload() the same call gives another candidate")
    return []


def _tensors() -> list[torch.Tensor]:
    """All tensors that the garbage collector tracks."""
    import torch

    gc.collect()
    return [held for held in gc.get_objects() if issubclass(type(held), torch.Tensor)]


def _weights() -> Iterator[torch.Tensor]:
    """The parameters and buffers of all modules that the garbage collector tracks."""
    import torch

    for held in gc.get_objects():
        if issubclass(type(held), torch.nn.Module):
            yield from held.parameters(recurse=False)
            yield from held.buffers(recurse=False)


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    """The bytes of the tensors; tensors that share a storage count once."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in tensors
        if tensor.device.type != "meta"
    }
    return sum(storages.values())
