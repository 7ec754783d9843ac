"""Paired cluster bootstrap: clusters are drawn with replacement within their stratum.

One weight matrix serves every strategy and statistic, so differences are paired. Statistics are functions of
sums over clusters, so resamples are never materialised: cluster indices are drawn, counted, and multiplied
with the sums, in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Bootstrap", "Floats"]

Floats = npt.NDArray[np.float64]
_CHUNK = 500
"""Resamples drawn at once. Another number draws other resamples."""
_IN_CACHE = 100
"""Resamples whose weights are used at once: few enough for the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """The resamples of one study. `strata` gives the stratum (class) of each cluster."""

    strata: tuple[str, ...]
    resamples: int = 10_000
    seed: int = 0

    @cached_property
    def counts(self) -> npt.NDArray[np.uint16]:
        """How often each resample contains each cluster, shape (resamples, clusters).

        The only cluster of a stratum is in every resample exactly once.
        """
        strata = np.asarray(self.strata)
        counts = np.empty((self.resamples, len(strata)), dtype=np.uint16)
        rng = np.random.default_rng(self.seed)
        for stratum in sorted(set(self.strata)):
            members = np.flatnonzero(strata == stratum)
            for start in range(0, self.resamples, _CHUNK):
                rows = min(_CHUNK, self.resamples - start)
                counts[start : start + rows, members] = _draw(rng, rows, len(members))
        return counts

    def totals(self, columns: Floats) -> Floats:
        """Sums of `columns`, shape (clusters, columns), over each resample; shape (resamples, columns)."""
        return self.each(lambda weights: np.asarray(weights @ columns))

    def each(self, function: Callable[[Floats], Floats]) -> Floats:
        """`function` of the weights of all resamples, which come a few at a time: (resamples, clusters)."""
        return np.concatenate([function(chunk) for chunk in self._chunks()])

    def _chunks(self) -> Iterator[Floats]:
        for start in range(0, self.resamples, _IN_CACHE):
            yield self.counts[start : start + _IN_CACHE].astype(np.float64)


def _draw(rng: np.random.Generator, rows: int, size: int) -> npt.NDArray[np.int64]:
    drawn = rng.integers(size, size=(rows, size), dtype=np.int32) + size * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
