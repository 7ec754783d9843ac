"""The bootstrap of docs/concepts/statistics.md: samples drawn within their class, the same draws for all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.analysis.recompute.fits import Sums
from tests.analysis.recompute.stored import Floats

AT_A_TIME = 500
FEW = 200


class Resamples:
    """Weights of the samples in each resample, shape (resamples, samples)."""

    def __init__(self, classes: Sequence[str], number: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.classes = np.array(classes)
        self.weights = np.zeros((number, len(classes)))
        for name in sorted(set(classes)):
            members = np.flatnonzero(self.classes == name)
            for start in range(0, number, AT_A_TIME):
                size = min(AT_A_TIME, number - start), len(members)
                drawn = generator.integers(len(members), size=size, dtype=np.int32)
                for offset, row in enumerate(drawn):
                    self.weights[start + offset, members] = np.bincount(row, minlength=len(members))

    def percentiles(self, sums: Sums) -> list[float] | None:
        with np.errstate(all="ignore"):
            return _middle(sums.value(self.weights))

    def interval(self, sums: Sums, error: float | None) -> list[float] | None:
        """Percentiles from 200 samples on; below, studentised by each resample's own standard error."""
        if error is None or not np.isfinite(error) or not self._varies(sums):
            return None
        if len(self.classes) >= FEW or error == 0:
            return self.percentiles(sums)
        one = np.ones((1, len(self.classes)))
        with np.errstate(all="ignore"):
            used = np.count_nonzero(sums.units)
            value, draws = float(sums.value(one)[0]), sums.value(self.weights)
            squares = (self.weights * sums.influence(self.weights) ** 2).sum(axis=1)
        errors = np.sqrt(squares * used / (used - 1))
        usable = errors > 1e-9
        if float(usable.mean()) <= 0.5:
            return self.percentiles(sums)
        ends = _middle((draws[usable] - value) / errors[usable])
        return None if ends is None else [value - ends[1] * error, value - ends[0] * error]

    def _varies(self, sums: Sums) -> bool:
        """Whether two samples that count are not alone in their class."""
        names, sizes = np.unique(self.classes, return_counts=True)
        alone = set(names[sizes == 1].tolist())
        free = [c not in alone and u > 0 for c, u in zip(self.classes, sums.units, strict=True)]
        return bool(sum(free) > 1)


def _middle(draws: Floats) -> list[float] | None:
    known = draws[np.isfinite(draws)]
    if len(known) < 2:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return [float(low), float(high)]
