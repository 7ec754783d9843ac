"""Toy models that occupy memory of a toy device, for tests of loading and unloading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from imug_tts.contracts import Candidate, Local, MemoryNeed, Request
from imug_tts.testing.toys import ToyBackbone

__all__ = ["LocalToy", "ToyDevice"]


class ToyDevice:
    """A device with a number of bytes; a model that needs more than are free fails like on a GPU."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.name = f"toy:{next(_NUMBERS)}"
        self.used = 0
        self.loads: list[str] = []
        """Identities of the models in the order in which they were loaded."""

    def __repr__(self) -> str:
        return "a card"  # identities of models must not depend on the device's number

    def free(self, device: str) -> int | None:
        """The free bytes of this device; None for other devices."""
        return self.total - self.used if device == self.name else None

    def take(self, count: int) -> None:
        if self.used + count > self.total:
            raise RuntimeError(f"CUDA out of memory. Tried to allocate {count} bytes")
        self.used += count


_NUMBERS: Final = count()
"""Makes device names unique within the process, because the process knows models by device until they are
collected.
"""


@dataclass(eq=False)
class LocalToy(ToyBackbone, Local):
    """A toy model whose weights occupy the device from its first call until it is unloaded."""

    card: ToyDevice = field(kw_only=True)
    weights: int = 6
    per_candidate: int = 0
    while_generating: Callable[[], None] = lambda: None
    batches: list[int] = field(default_factory=list, init=False)
    """Number of candidates of each call of `generate`."""
    is_loaded: bool = field(default=False, init=False)
    _generating: int = field(default=0, init=False)

    @property
    def device(self) -> str:
        return self.card.name

    @property
    def memory(self) -> MemoryNeed:
        return MemoryNeed(weights=self.weights, per_candidate=self.per_candidate)

    def unload(self) -> None:
        assert not self._generating, f"{self.identity} was unloaded while it generated"
        self.is_loaded = False
        self.card.used -= self.weights

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self._generating += 1
        try:
            return self._generate(requests)
        finally:
            self._generating -= 1

    def _generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        if not self.is_loaded:
            self.card.take(self.weights)
            self.is_loaded = True
            self.card.loads.append(self.identity)
        self.batches.append(sum(len(request.seeds) for request in requests))
        extra = self.per_candidate * self.batches[-1]
        self.card.take(extra)
        try:
            self.while_generating()
            return super().generate(requests)
        finally:
            self.card.used -= extra
