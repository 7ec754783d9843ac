"""Named random streams: the same name gives the same numbers on every machine, whatever else was drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
_BLOCK = 256


class Stream:
    """A random stream of uniform numbers from a counter-based generator (Philox); its key is the hash of the
    name.
    """

    def __init__(self, *name: str | int) -> None:
        digest = hashlib.sha256("/".join(map(str, name)).encode()).digest()
        self._generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
        self._block: list[float] = []

    def uniform(self) -> float:
        """A random number in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(_BLOCK).tolist()
        return self._block.pop()

    def below(self, limit: int) -> int:
        """A random integer in [0, limit)."""
        return int(self.uniform() * limit)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.uniform() < probability

    def choice(self, items: Sequence[Item]) -> Item:
        """A random item; all are equally likely."""
        return items[self.below(len(items))]

    def weighted(self, weights: dict[Item, float]) -> Item:
        """A random key, with probability proportional to its weight."""
        left = self.uniform() * sum(weights.values())
        for item, weight in weights.items():
            left -= weight
            if left < 0:
                return item
        return item

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """`count` different items in random order."""
        pool = list(items)
        return [pool.pop(self.below(len(pool))) for _ in range(count)]
