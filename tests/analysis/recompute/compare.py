"""Where two trees of numbers differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

TOLERANCE = 1e-7


class Difference(NamedTuple):
    """One number that the two sides state differently."""

    place: str
    stated: Any
    recomputed: Any

    def __str__(self) -> str:
        return f"{self.place}: the analysis says {self.stated!r}, the records {self.recomputed!r}"


def differences(stated: Any, recomputed: Any, place: str = "") -> Iterator[Difference]:
    """Every leaf of `recomputed` that `stated` lacks, or holds differently by more than 1e-7.

    Large numbers may differ by 1e-7 of their size. What `recomputed` does not hold is passed over.
    """
    if isinstance(recomputed, dict) and isinstance(stated, dict):
        for key, value in recomputed.items():
            yield from differences(stated.get(key, "nothing"), value, f"{place}.{key}" if place else str(key))
    elif isinstance(recomputed, list) and isinstance(stated, list) and len(recomputed) == len(stated):
        for index, (there, here) in enumerate(zip(stated, recomputed, strict=True)):
            yield from differences(there, here, f"{place}[{_name(here, index)}]")
    elif not _is_equal(stated, recomputed):
        yield Difference(place, stated, recomputed)


def count_numbers(tree: Any) -> int:
    """Numbers among the leaves."""
    if isinstance(tree, dict):
        return sum(map(count_numbers, tree.values()))
    if isinstance(tree, list):
        return sum(map(count_numbers, tree))
    return int(isinstance(tree, int | float) and not isinstance(tree, bool))


def _name(item: Any, index: int) -> str:
    named = item.get("strategy") or item.get("name") if isinstance(item, dict) else None
    return str(named or index)


def _is_equal(stated: Any, recomputed: Any) -> bool:
    numbers = [x for x in (stated, recomputed) if isinstance(x, int | float) and not isinstance(x, bool)]
    if len(numbers) < 2:
        return bool(stated == recomputed)
    return math.isclose(*numbers, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
