"""Paired cluster bootstrap: samples are clusters, drawn with replacement within their class.

One weight matrix serves every strategy and statistic, so differences are paired. A statistic is a
ratio of sums over samples, or a quadratic form of such sums: no resample is ever materialised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Bootstrap", "Estimate", "Floats", "Statistic", "is_well_above_zero", "ratio_of"]

Floats = npt.NDArray[np.float64]
_CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its 95 % percentile interval and standard error; NaN where undefined."""

    value: float
    low: float
    high: float
    standard_error: float
    num_samples: int
    """Clusters that contribute."""
    num_units: int
    """Cells (sample, turn), or candidates, that contribute."""


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A value and its bootstrap draws, shape (resamples,)."""

    value: float
    draws: Floats
    num_samples: int
    num_units: int

    @cached_property
    def standard_error(self) -> float:
        return float(np.std(self._known, ddof=1)) if self._is_defined else float("nan")

    def estimate(self) -> Estimate:
        low, high = np.percentile(self._known, (2.5, 97.5)) if self._is_defined else (np.nan, np.nan)
        return Estimate(
            value=self.value,
            low=float(low),
            high=float(high),
            standard_error=self.standard_error,
            num_samples=self.num_samples,
            num_units=self.num_units,
        )

    @property
    def _known(self) -> Floats:
        return self.draws[np.isfinite(self.draws)]

    @property
    def _is_defined(self) -> bool:
        return bool(np.isfinite(self.value)) and self._known.size > 1


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """The resamples of one study. `strata` names the class of each sample, in the panel's order."""

    strata: tuple[str, ...]
    resamples: int = 10_000
    seed: int = 0

    @cached_property
    def counts(self) -> npt.NDArray[np.uint16]:
        """How often each resample holds each sample, shape (resamples, samples).

        A stratum of one sample is thereby held fixed.
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

    def means(self, grids: Sequence[Floats]) -> list[Statistic]:
        """The mean over the cells of each grid, shape (samples, turns), NaN where there is no cell."""
        if not grids:
            return []
        sums = np.stack([np.nansum(grid, axis=1) for grid in grids], axis=1)
        sizes = np.stack([np.isfinite(grid).sum(axis=1) for grid in grids], axis=1)
        return self.ratios(sums, sizes.astype(np.float64))

    def ratios(self, sums: Floats, sizes: Floats) -> list[Statistic]:
        """One statistic per column of sums over column of sizes; both of shape (samples, columns)."""
        columns = sums.shape[1]
        totals = self.totals(np.hstack([sums, sizes]))
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = totals[:, :columns] / totals[:, columns:]
            values = sums.sum(axis=0) / sizes.sum(axis=0)
        # one free cluster says nothing of the spread between clusters: undefined, never 0
        draws[:, np.count_nonzero(sizes[self._is_free], axis=0) < 2] = np.nan
        return [
            Statistic(
                value=float(values[column]),
                draws=draws[:, column],
                num_samples=int(np.count_nonzero(sizes[:, column])),
                num_units=int(sizes[:, column].sum()),
            )
            for column in range(columns)
        ]

    def totals(self, columns: Floats) -> Floats:
        """Sums of columns, shape (samples, columns), over each resample; (resamples, columns)."""
        return np.concatenate([chunk @ columns for chunk in self._chunks()])

    def quadratic(self, form: Floats) -> Floats:
        """w' form w for the weights w of each resample; `form` has shape (samples, samples)."""
        used = np.flatnonzero(form.any(axis=0) | form.any(axis=1))
        small = form[np.ix_(used, used)]
        pieces = (chunk[:, used] for chunk in self._chunks())
        return np.concatenate([np.sum((piece @ small) * piece, axis=1) for piece in pieces])

    def _chunks(self) -> Iterator[Floats]:
        for start in range(0, self.resamples, _CHUNK):
            yield self.counts[start : start + _CHUNK].astype(np.float64)

    @cached_property
    def _is_free(self) -> npt.NDArray[np.bool_]:
        """Which samples are not the only one of their stratum."""
        sizes = Counter(self.strata)
        return np.array([sizes[stratum] > 1 for stratum in self.strata])


def ratio_of(above: Statistic, below: Statistic) -> Statistic:
    """above / below, resample by resample."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return Statistic(
            value=above.value / below.value if below.value else float("nan"),
            draws=above.draws / below.draws,
            num_samples=min(above.num_samples, below.num_samples),
            num_units=min(above.num_units, below.num_units),
        )


def is_well_above_zero(statistic: Statistic) -> bool:
    """Whether one may divide by it: positive, and more than three standard errors from 0."""
    # the floor keeps rounding noise around an exact 0 from passing with a standard error of 0
    return statistic.value > max(1e-9, 3 * statistic.standard_error)


def _draw(rng: np.random.Generator, rows: int, size: int) -> npt.NDArray[np.int64]:
    drawn = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
