"""Shares the devices of this process between models: two that do not fit together are loaded in turn.

A broker's worker reserves the devices of its model for each call of `generate`. If the model is loaded, it
continues at once. If not, it waits for memory: idle models on the device are unloaded, the least recently
used first. A model is idle if it does not generate and its broker has no calls for it. So the calls of one
model are made together, and weights are exchanged as rarely as the batches allow.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Final, NamedTuple
from weakref import WeakSet, WeakValueDictionary

from imug_tts.calls.memory import free_bytes, free_caches
from imug_tts.contracts import Backbone, BackboneError, Local, MemoryNeed
from imug_tts.files import size
from imug_tts.knobs import parts

__all__ = ["DEVICES", "DeviceClaim", "Devices", "Need", "local_models"]

_LOOK_AGAIN_S: Final = 0.05
"""Polling interval of waiting workers: a broker that runs out of calls sends no notification."""


class Need(NamedTuple):
    """The device memory that one model of this process needs."""

    model: Local
    device: str
    memory: MemoryNeed

    def bytes_of(self, rows: int) -> int:
        """Return the estimated bytes that a batch of `rows` candidates needs beyond those in use."""
        weights = 0 if self.model.is_loaded else self.memory.weights
        return weights + rows * self.memory.per_candidate


def local_models(model: Backbone) -> list[Local]:
    """Return the models with weights in this process: the model itself, and the models among its parts."""
    inner = [each for _, part in parts(model) if isinstance(part, Backbone) for each in local_models(part)]
    own = [model] if isinstance(model, Local) else []
    return list({id(each): each for each in [*own, *inner]}.values())


class Devices:
    """The devices of this process and the models that share them. Thread-safe."""

    def __init__(self, free: Callable[[str], int | None] = free_bytes) -> None:
        self.free = free
        """Function that returns the free bytes of a device; None if unknown, and then every model fits."""
        self._changed = threading.Condition()
        self._known: WeakValueDictionary[int, Local] = WeakValueDictionary()
        self._in_use: Counter[int] = Counter()
        """Number of calls of `generate` in flight, by `id` of the model."""
        self._last_used: dict[int, int] = {}
        self._clock = count()
        self._loading: set[str] = set()
        """Devices onto which weights are being loaded; free memory is meaningless until that is done."""
        self._claims: WeakSet[DeviceClaim] = WeakSet()

    def claim(self, model: Backbone, is_busy: Callable[[], bool] = lambda: False) -> DeviceClaim:
        """Return a broker's claim on its model's devices; `is_busy` tells whether the broker has calls."""
        claim = DeviceClaim(self, model, is_busy)
        with self._changed:
            self._claims.add(claim)
        return claim

    def capacity(self, device: str) -> int | None:
        """Return the bytes of a device if all models of this process were unloaded; None if unknown."""
        free = self.free(device)
        if free is None:
            return None
        with self._changed:
            loaded = [model for model in self._known.values() if model.is_loaded and model.device == device]
            return free + sum(model.memory.weights for model in loaded)

    def others(self, claim: DeviceClaim) -> list[Local]:
        """Return the other loaded models on the devices of a claim, least recently used first."""
        own, used = {id(need.model) for need in claim.needs}, self._last_used
        loaded = [
            model
            for key, model in list(self._known.items())
            if key not in own and model.is_loaded and model.device in claim.devices
        ]
        return sorted(loaded, key=lambda model: used.get(id(model), -1))

    @contextmanager
    def reserved(self, claim: DeviceClaim, rows: int, *, alone: bool) -> Iterator[None]:
        """Reserve the devices of a claim inside a `with` block; see `DeviceClaim.reserve`."""
        with self._changed:
            claim.waiting += 1
            try:
                while not self._is_ready(claim, rows, alone):
                    self._changed.wait(_LOOK_AGAIN_S)
            finally:
                claim.waiting -= 1
            loading = self._take(claim, alone)
        try:
            yield
        finally:
            with self._changed:
                self._loading -= loading
                for need in claim.needs:
                    self._in_use[id(need.model)] -= 1
                    self._last_used[id(need.model)] = next(self._clock)
                self._changed.notify_all()

    def _take(self, claim: DeviceClaim, alone: bool) -> frozenset[str]:
        """Mark the models of a claim as in use; return the devices onto which weights will be loaded."""
        for need in claim.needs:
            self._known[id(need.model)] = need.model
            self._in_use[id(need.model)] += 1
        loading = frozenset(need.device for need in claim.needs if alone or not need.model.is_loaded)
        self._loading |= loading
        return loading

    def _is_ready(self, claim: DeviceClaim, rows: int, alone: bool) -> bool:
        """Unload idle models as needed; return whether the models of the claim can run now."""
        if claim.is_stopped:
            raise BackboneError("the run stopped before the model had memory on its device")
        if all(need.model.is_loaded for need in claim.needs) and not alone:
            for device in claim.devices:
                self._make_room(claim, device, rows, alone)
            return True  # a batch that still does not fit is halved by `attempt`
        if not self._loading.isdisjoint(claim.devices):
            return False
        return all(self._make_room(claim, device, rows, alone) for device in claim.devices)

    def _make_room(self, claim: DeviceClaim, device: str, rows: int, alone: bool) -> bool:
        """Unload idle models until the batch fits; False if a model that is needed prevents that.

        Returns True for a batch that does not fit even with every other model unloaded.
        """
        others = [model for model in self.others(claim) if model.device == device]
        while others and (alone or not self._fits(claim, device, rows)):
            idle = next((model for model in others if not self._is_needed(model, alone)), None)
            if idle is None:
                return False
            others.remove(idle)
            idle.unload()
            free_caches(device)
        return True

    def _fits(self, claim: DeviceClaim, device: str, rows: int) -> bool:
        free = self.free(device)
        wanted = sum(need.bytes_of(rows) for need in claim.needs if need.device == device)
        return free is None or wanted <= free

    def _is_needed(self, model: Local, alone: bool) -> bool:
        """Return whether a model must stay loaded: it generates, or a broker not waiting has calls."""
        if self._in_use[id(model)]:
            return True
        asking = (claim for claim in self._claims if claim.has(model) and not claim.waiting)
        return not alone and any(claim.is_busy() for claim in asking)


@dataclass(eq=False)
class DeviceClaim:
    """One broker's claim on the devices of its model. Empty for a model outside this process."""

    _devices: Devices
    model: Backbone
    is_busy: Callable[[], bool]
    waiting: int = field(default=0, init=False)
    """Number of workers that wait for memory."""
    is_stopped: bool = field(default=False, init=False)

    @cached_property
    def local(self) -> Sequence[Local]:
        """The models of this process that a call needs."""
        return local_models(self.model)

    @cached_property
    def needs(self) -> Sequence[Need]:
        """The memory need of each of the `local` models. Reads files, and may import torch.

        Raises:
            ConfigurationError: the files of a model are missing or belong to another model.
        """
        return [Need(model, model.device, model.memory) for model in self.local]

    @property
    def devices(self) -> frozenset[str]:
        return frozenset(need.device for need in self.needs)

    def has(self, model: Local) -> bool:
        return any(each is model for each in self.local)

    @contextmanager
    def reserve(self, rows: int, *, alone: bool = False) -> Iterator[None]:
        """Reserve the devices for one call of `generate` with `rows` candidates; a context manager.

        With `alone`, all other models on the devices are unloaded first.

        Raises:
            BackboneError: `stop` was called while the model waited for memory.
        """
        if not self.local:
            yield
            return
        with self._devices.reserved(self, rows, alone=alone):
            yield

    def shares_devices(self) -> bool:
        """Return whether another model has weights on the same devices now."""
        return bool(self.local) and bool(self._devices.others(self))

    def drop_caches(self) -> bool:
        """Free what the models keep on their devices besides weights; return whether there was any."""
        dropped = [model.drop_caches() for model in self.local if model.is_loaded]
        self.free_caches()
        return any(dropped)

    def free_caches(self) -> None:
        for device in self.devices if self.local else ():
            free_caches(device)

    def stop(self) -> None:
        """End all waits for memory; no weights are loaded from then on."""
        self.is_stopped = True

    def shortage(self) -> str:
        """Return why one candidate alone does not fit, with sizes; empty for a model outside this process."""
        return "; ".join(map(self._said, self.needs)) if self.local else ""

    def _said(self, need: Need) -> str:
        free, memory = self._devices.capacity(need.device), need.memory
        known = "" if free is None else f", and {need.device} has {size(free)} for them"
        return (
            f"one candidate alone does not fit on {need.device}: {type(need.model).__name__} needs about "
            f"{size(memory.weights)} for weights, {size(memory.per_turn)} for each turn and "
            f"{size(memory.per_candidate)} for a candidate{known}; lower the image size or the precision "
            "(dtype), spread the model with device_map, or choose a larger device"
        )


DEVICES: Final = Devices()
"""The devices of this process: models outlive the brokers that call them."""
