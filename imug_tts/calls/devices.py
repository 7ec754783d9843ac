"""Which models have their weights on a device: two that do not fit together are loaded in turn.

A broker's worker borrows the devices of its model around each call of `generate`. A model that is loaded goes
on at once. One that is not waits for room: idle models on its device are unloaded, the one that was used
longest ago first. A model is idle when it does not generate and its broker has no calls for it, so that the
calls of one model are made together, and the weights are exchanged as rarely as the batches allow.
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

from imug_tts.calls.memory import free_bytes, give_back_caches
from imug_tts.contracts import Backbone, BackboneError, Local, MemoryNeed
from imug_tts.files import size
from imug_tts.knobs import parts

__all__ = ["DEVICES", "Devices", "Need", "Place", "local_models"]

_LOOK_AGAIN_S: Final = 0.05
"""A broker that runs out of calls tells nobody, so whoever waits for its model looks again."""


class Need(NamedTuple):
    """What a model in this process takes of its device."""

    model: Local
    device: str
    memory: MemoryNeed

    def bytes_of(self, rows: int) -> int:
        """Estimated bytes that a batch of so many candidates takes beyond what is on the device now."""
        weights = 0 if self.model.is_loaded else self.memory.weights
        return weights + rows * self.memory.per_candidate


def local_models(model: Backbone) -> list[Local]:
    """The model and the models that are parts of it, as far as their weights are in this process."""
    inner = [each for _, part in parts(model) if isinstance(part, Backbone) for each in local_models(part)]
    own = [model] if isinstance(model, Local) else []
    return list({id(each): each for each in [*own, *inner]}.values())


class Devices:
    """The devices of this process and the models that share them. For any number of threads."""

    def __init__(self, free: Callable[[str], int | None] = free_bytes) -> None:
        self.free = free
        """Free bytes of a device; None where that is not known, and then every model fits."""
        self._changed = threading.Condition()
        self._known: WeakValueDictionary[int, Local] = WeakValueDictionary()
        self._in_use: Counter[int] = Counter()
        """Calls of `generate` in flight, by model."""
        self._last_used: dict[int, int] = {}
        self._clock = count()
        self._loading: set[str] = set()
        """Devices onto which weights are being loaded; free memory says nothing until that is done."""
        self._places: WeakSet[Place] = WeakSet()

    def place(self, model: Backbone, is_busy: Callable[[], bool] = lambda: False) -> Place:
        """Where a broker borrows the devices of its model; `is_busy` says whether it has calls for it."""
        place = Place(self, model, is_busy)
        with self._changed:
            self._places.add(place)
        return place

    def room(self, device: str) -> int | None:
        """What a device has if every model of this process is unloaded; None where that is not known."""
        free = self.free(device)
        if free is None:
            return None
        with self._changed:
            loaded = [model for model in self._known.values() if model.is_loaded and model.device == device]
            return free + sum(model.memory.weights for model in loaded)

    def others(self, place: Place) -> list[Local]:
        """Loaded models that share a device with those of a place, the one used longest ago first."""
        own, used = {id(need.model) for need in place.needs}, self._last_used
        loaded = [
            model
            for key, model in list(self._known.items())
            if key not in own and model.is_loaded and model.device in place.devices
        ]
        return sorted(loaded, key=lambda model: used.get(id(model), -1))

    @contextmanager
    def borrowed(self, place: Place, rows: int, *, alone: bool) -> Iterator[None]:
        """See `Place.borrow`."""
        with self._changed:
            place.waiting += 1
            try:
                while not self._is_ready(place, rows, alone):
                    self._changed.wait(_LOOK_AGAIN_S)
            finally:
                place.waiting -= 1
            loading = self._take(place, alone)
        try:
            yield
        finally:
            with self._changed:
                self._loading -= loading
                for need in place.needs:
                    self._in_use[id(need.model)] -= 1
                    self._last_used[id(need.model)] = next(self._clock)
                self._changed.notify_all()

    def _take(self, place: Place, alone: bool) -> frozenset[str]:
        """Mark the models of a place as in use; the devices onto which weights will be loaded."""
        for need in place.needs:
            self._known[id(need.model)] = need.model
            self._in_use[id(need.model)] += 1
        loading = frozenset(need.device for need in place.needs if alone or not need.model.is_loaded)
        self._loading |= loading
        return loading

    def _is_ready(self, place: Place, rows: int, alone: bool) -> bool:
        """Unload what is in the way and idle; whether the place can go on."""
        if place.is_stopped:
            raise BackboneError("the run stopped before the model had room on its device")
        if all(need.model.is_loaded for need in place.needs) and not alone:
            for device in place.devices:
                self._make_room(place, device, rows, alone)
            return True  # what still does not fit is halved by whoever calls
        if not self._loading.isdisjoint(place.devices):
            return False
        return all(self._make_room(place, device, rows, alone) for device in place.devices)

    def _make_room(self, place: Place, device: str, rows: int, alone: bool) -> bool:
        """Whether a batch fits on the device now, or would not with every other model unloaded either."""
        others = [model for model in self.others(place) if model.device == device]
        while others and (alone or not self._fits(place, device, rows)):
            idle = next((model for model in others if not self._is_needed(model, alone)), None)
            if idle is None:
                return False
            others.remove(idle)
            idle.unload()
            give_back_caches(device)
        return True

    def _fits(self, place: Place, device: str, rows: int) -> bool:
        free = self.free(device)
        wanted = sum(need.bytes_of(rows) for need in place.needs if need.device == device)
        return free is None or wanted <= free

    def _is_needed(self, model: Local, alone: bool) -> bool:
        """Whether a model must stay: it generates, or a broker that does not wait itself has calls for it."""
        if self._in_use[id(model)]:
            return True
        asking = (place for place in self._places if place.has(model) and not place.waiting)
        return not alone and any(place.is_busy() for place in asking)


@dataclass(eq=False)
class Place:
    """One broker's claim on the devices of its model. A model that is not in this process has none."""

    _devices: Devices
    model: Backbone
    is_busy: Callable[[], bool]
    waiting: int = field(default=0, init=False)
    """Workers that wait for room."""
    is_stopped: bool = field(default=False, init=False)

    @cached_property
    def local(self) -> Sequence[Local]:
        """The models of this process that a call needs."""
        return local_models(self.model)

    @cached_property
    def needs(self) -> Sequence[Need]:
        """What each of them takes. Reads files, and may import torch.

        Raises:
            ConfigurationError: the files of a model are missing or not of this model.
        """
        return [Need(model, model.device, model.memory) for model in self.local]

    @property
    def devices(self) -> frozenset[str]:
        return frozenset(need.device for need in self.needs)

    def has(self, model: Local) -> bool:
        return any(each is model for each in self.local)

    @contextmanager
    def borrow(self, rows: int, *, alone: bool = False) -> Iterator[None]:
        """The devices, for one call of `generate` with so many candidates; `alone` for no other model beside.

        Raises:
            BackboneError: `stop` was called while the model waited for room.
        """
        if not self.local:
            yield
            return
        with self._devices.borrowed(self, rows, alone=alone):
            yield

    def has_company(self) -> bool:
        """Whether another model has weights on the same devices now."""
        return bool(self.local) and bool(self._devices.others(self))

    def give_back_caches(self) -> None:
        for device in self.devices if self.local else ():
            give_back_caches(device)

    def stop(self) -> None:
        """End all waits for room: nothing is loaded any more."""
        self.is_stopped = True

    def shortage(self) -> str:
        """Why one candidate alone does not fit, with the numbers; empty for a model elsewhere."""
        return "; ".join(map(self._said, self.needs)) if self.local else ""

    def _said(self, need: Need) -> str:
        free, memory = self._devices.room(need.device), need.memory
        known = "" if free is None else f", and {need.device} has {size(free)} for them"
        return (
            f"one candidate alone does not fit on {need.device}: {type(need.model).__name__} needs about "
            f"{size(memory.weights)} for weights, {size(memory.per_turn)} for each turn and "
            f"{size(memory.per_candidate)} for a candidate{known}; lower the image size or the precision "
            "(dtype), spread the model with device_map, or choose a larger device"
        )


DEVICES: Final = Devices()
"""Those of this process: models outlive the brokers that ask them."""
