"""Statistics as smooth functions of sums over samples.

A statistic is a set of columns (one row per sample) and a formula of the columns' totals. From these follow
its value, its bootstrap draws (the formula at resampled totals) and its linearised standard error: with the
gradient g of the formula at the totals, sample i's influence is g . columns[i], and the sum of squared
influences over clusters is the CR1 sandwich of the corresponding regression. Gradients are complex-step
derivatives (Squire and Trapp 1998), exact up to rounding.

Grids have shape (samples, turns) and hold NaN if there is no score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Floats

__all__ = [
    "Formula",
    "Statistic",
    "attributable_fraction",
    "centered",
    "level",
    "logit_reduction",
    "mean",
    "pooled_slope",
    "ratio",
    "ratio_of_means",
    "relative_reduction",
    "share",
    "slope_composition",
    "within_regression",
    "within_slope",
]

Formula = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""A function from totals, shape (..., columns), to values, shape (...). Analytic, and invariant to scaling
all totals.
"""

_STEP = 1e-30
_NOTHING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A statistic: columns of shape (samples, columns) and a formula of their totals."""

    columns: Floats
    formula: Formula
    units: Floats
    """Number of cells (sample, turn), or of candidates, that each sample contributes; shape (samples,)."""
    num_missing: int = 0
    """Number of planned turns, over all seeds, whose needed score is missing."""
    num_planned: int = 0
    """Number of planned turns, over all seeds."""
    num_parameters: int = 1
    """Number of parameters of the corresponding regression, without absorbed fixed effects."""
    is_ratio: bool = False
    """Whether the interval is always the bootstrap percentile interval."""
    is_bounded: bool = False
    """Whether the statistic is a mean of values in [0, 1]: its interval stays inside, and no test is made."""
    must_exceed_zero: Statistic | None = None
    """The denominator: the value is undefined unless the denominator exceeds three times its standard
    error.
    """

    @property
    def value(self) -> float:
        return float(self.at(self.columns.sum(axis=0)))

    @property
    def influence(self) -> Floats:
        """The first-order effect of each sample on the value; shape (samples,)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.columns @ self.gradient(self.columns.sum(axis=0)))

    @property
    def num_samples(self) -> int:
        return int(np.count_nonzero(self.units))

    @property
    def num_units(self) -> int:
        return int(self.units.sum())

    def at(self, totals: Floats) -> Floats:
        """The formula at totals of shape (..., columns); NaN or infinite if it is undefined there."""
        with np.errstate(all="ignore"):
            return np.asarray(self.formula(totals))

    def gradient(self, totals: Floats) -> Floats:
        """The gradient of the formula at `totals`, in the shape of `totals`."""
        parts = []
        for column in range(totals.shape[-1]):
            stepped = totals.astype(np.complex128)
            stepped[..., column] += 1j * _STEP
            with np.errstate(all="ignore"):
                parts.append(np.imag(self.formula(stepped)) / _STEP)
        return np.stack(parts, axis=-1)


def ratio(sums: Floats, sizes: Floats) -> Statistic:
    """The total of `sums` divided by the total of `sizes`; both have shape (samples,)."""
    return Statistic(columns=np.stack([sums, sizes], axis=1), formula=_quotient, units=sizes)


def share(sums: Floats, sizes: Floats) -> Statistic:
    """A `ratio` in [0, 1]: a share, a rate, or a mean score."""
    return replace(ratio(sums, sizes), is_bounded=True)


def mean(grid: Floats) -> Statistic:
    """The mean over cells of differences; every cell has equal weight. For scores use `level`."""
    return ratio(np.nansum(grid, axis=1), _count(grid))


def level(grid: Floats) -> Statistic:
    """The mean over cells of scores in [0, 1]."""
    return replace(mean(grid), is_bounded=True)


def within_slope(grid: Floats) -> Statistic:
    """The OLS slope of the scores on the turn with sample fixed effects, as a ratio of per-sample sums.

    For a difference of two grids it is the difference of their slopes under sample x arm fixed effects.
    """
    sxy, sxx = _centered_sums(grid)
    units = np.where(sxx > 0, _count(grid), 0.0)
    return Statistic(columns=np.stack([sxy, sxx], axis=1), formula=_quotient, units=units)


def within_regression(y: Floats, x: Floats) -> Statistic:
    """The OLS slope of y on x with sample fixed effects, on the cells that have both."""
    known = np.isfinite(y) & np.isfinite(x)
    deviation = centered(x, known)
    columns = [(deviation * np.where(known, y, 0.0)).sum(axis=1), (deviation**2).sum(axis=1)]
    units = np.where(columns[1] > _NOTHING, known.sum(axis=1), 0.0)
    return Statistic(columns=np.stack(columns, axis=1), formula=_quotient, units=units)


def centered(grid: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    """The deviation of each known cell from its sample's mean; 0 in other cells."""
    sums = np.where(known, grid, 0.0).sum(axis=1)
    means = sums / np.maximum(known.sum(axis=1), 1)
    return np.where(known, grid - means[:, None], 0.0)


def pooled_slope(grid: Floats) -> Statistic:
    """The OLS slope of the scores on the turn with one intercept. Confounded if long and short dialogues
    differ.
    """
    known = np.isfinite(grid)
    turn = np.where(known, _turns(grid), 0.0)
    sums = [_count(grid), turn.sum(axis=1), np.nansum(grid, axis=1)]
    sums += [(turn**2).sum(axis=1), np.nansum(turn * grid, axis=1)]
    return Statistic(
        columns=np.stack(sums, axis=1),
        formula=_pooled,
        units=_count(grid),
        num_parameters=2,
    )


def slope_composition(grid: Floats) -> Statistic:
    """The pooled slope minus the slope within dialogues: the part due to which dialogues have late turns."""
    pooled, within = pooled_slope(grid), within_slope(grid)
    size = pooled.columns.shape[1]
    return replace(
        pooled,
        columns=np.hstack([pooled.columns, within.columns]),
        formula=lambda s: pooled.formula(s[..., :size]) - within.formula(s[..., size:]),
    )


def ratio_of_means(above: Floats, below: Floats) -> Statistic:
    """The statistic mean(above) / mean(below), on the cells that have both."""
    both = np.isfinite(above) & np.isfinite(below)
    divisor = mean(np.where(both, below, np.nan))
    sums = np.nansum(np.where(both, above, np.nan), axis=1)
    return Statistic(
        columns=np.stack([sums, divisor.columns[:, 0]], axis=1),
        formula=_quotient,
        units=divisor.units,
        is_ratio=True,
        must_exceed_zero=divisor,
    )


def relative_reduction(gap: Floats, reference: Floats) -> Statistic:
    """The statistic 1 - mean(gap) / mean(reference), on the cells that have both."""
    return replace(ratio_of_means(gap, reference), formula=lambda s: 1 - _quotient(s))


def attributable_fraction(gold: Floats, own: Floats) -> Statistic:
    """The share of the decay due to own history: 1 - slope on gold history / slope on own history.

    Both slopes use the cells that have both scores.
    """
    both = np.isfinite(gold) & np.isfinite(own)
    known = np.where(both, own, np.nan)
    slopes = within_slope(np.where(both, gold, np.nan)), within_slope(known)
    return Statistic(
        columns=np.hstack([slope.columns for slope in slopes]),
        formula=lambda s: 1 - (s[..., 0] / s[..., 1]) / (s[..., 2] / s[..., 3]),
        units=slopes[1].units,
        is_ratio=True,
        must_exceed_zero=within_slope(-known),
    )


def logit_reduction(grids: Sequence[Floats]) -> Statistic:
    """The reduction of the gap on the logit scale, from grids gold, own (baseline), gold, own (strategy).

    It equals the coefficient of a saturated fractional logit (Papke and Wooldridge 1996): its coefficients
    are logits of means.
    """
    known = np.isfinite(np.stack(grids)).all(axis=0)
    sums = [np.where(known, grid, 0.0).sum(axis=1) for grid in grids]
    units = known.sum(axis=1).astype(np.float64)
    return Statistic(
        columns=np.stack([*sums, units], axis=1),
        formula=_logit_reduction,
        units=units,
    )


def _quotient(s: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(s[..., 0] / s[..., 1])


def _pooled(s: npt.NDArray[Any]) -> npt.NDArray[Any]:
    size, turn, score, squares, products = np.moveaxis(s, -1, 0)
    return np.asarray((size * products - turn * score) / (size * squares - turn * turn))


def _logit_reduction(s: npt.NDArray[Any]) -> npt.NDArray[Any]:
    means = s[..., :4] / s[..., 4:]
    logits = np.log(means) - np.log(1 - means)
    return np.asarray((logits[..., 0] - logits[..., 1]) - (logits[..., 2] - logits[..., 3]))


def _centered_sums(grid: Floats) -> tuple[Floats, Floats]:
    """The sums over turns of (t - mean t) y and (t - mean t)^2, with each sample's own mean t."""
    known = np.isfinite(grid)
    offset = centered(np.broadcast_to(_turns(grid), grid.shape), known)
    return (offset * np.where(known, grid, 0.0)).sum(axis=1), (offset**2).sum(axis=1)


def _turns(grid: Floats) -> Floats:
    return np.arange(1.0, grid.shape[1] + 1, dtype=np.float64).reshape(1, -1)


def _count(grid: Floats) -> Floats:
    return np.asarray(np.isfinite(grid).sum(axis=1), dtype=np.float64)
