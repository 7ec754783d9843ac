"""How often something happened over simulated studies, and whether that is as it should be."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

COVERAGE = 0.93, 0.97
ERROR = 0.0, 0.06
SIGMAS = 2.0
"""Standard errors of a share over so many studies by which it may lie outside of its bounds."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A share of studies in which something happened. `bounds` is where the true share must lie."""

    family: str
    name: str
    happened: int
    studies: int
    bounds: tuple[float, float]

    @property
    def share(self) -> float:
        return self.happened / self.studies

    @property
    def is_right(self) -> bool:
        """Whether the share agrees with its bounds, given the binomial error of so many studies."""
        low, high = self.bounds
        return low - self._slack(low) <= self.share <= high + self._slack(high)

    def _slack(self, bound: float) -> float:
        return SIGMAS * math.sqrt(bound * (1 - bound) / self.studies)

    def __str__(self) -> str:
        low, high = self.bounds
        mark = "" if self.is_right else "   OUTSIDE"
        return (
            f"{self.family:22} {self.name:44} {self.share:.3f} of {self.studies} "
            f"[{low:.2f}, {high:.2f}]{mark}"
        )


class Tally:
    """Counts of what happened, by name."""

    def __init__(self, family: str, bounds: tuple[float, float]) -> None:
        self.family, self.bounds = family, bounds
        self._found: dict[str, list[bool]] = defaultdict(list)

    def add(self, name: str, happened: bool) -> None:
        self._found[name].append(happened)

    def outcomes(self) -> Iterator[Outcome]:
        for name, found in self._found.items():
            yield Outcome(
                family=self.family,
                name=name,
                happened=sum(found),
                studies=len(found),
                bounds=self.bounds,
            )


def wrong(outcomes: Iterable[Outcome]) -> list[str]:
    """Those that are not as they should be, in words."""
    return [str(outcome) for outcome in outcomes if not outcome.is_right]
