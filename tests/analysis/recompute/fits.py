"""Regressions of statsmodels and tests on them, in the form of an entry of analysis.json."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.analysis.recompute.stored import Floats

MARGIN = 0.02
Entry = dict[str, Any]


@dataclass(frozen=True)
class Sums:
    """A statistic by its sums over samples: what it is of any weights of the samples.

    `value(w)` takes weights of shape (resamples, samples) and gives one value per resample;
    `influence(w)` gives what each sample adds to the value, shape (resamples, samples).
    """

    value: Callable[[Floats], Floats]
    influence: Callable[[Floats], Floats]
    units: Floats
    """Cells that each sample contributes."""


def ratio(above: Floats, below: Floats, units: Floats | None = None) -> Sums:
    """The sum of `above` over that of `below`."""

    def value(w: Floats) -> Floats:
        return np.asarray((w @ above) / (w @ below))

    def influence(w: Floats) -> Floats:
        return np.asarray((above - value(w)[:, None] * below) / (w @ below)[:, None])

    return Sums(value, influence, below if units is None else units)


def mean_sums(grid: Floats) -> Sums:
    return ratio(np.nansum(grid, axis=1), np.isfinite(grid).sum(axis=1).astype(float))


def centred(grid: Floats) -> tuple[Floats, Floats]:
    """The turn less the mean turn of the sample's known cells and the scores; 0 where there are none."""
    known = np.isfinite(grid)
    turns = np.where(known, np.arange(1.0, grid.shape[1] + 1), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # samples without a cell
        offset = turns - np.nanmean(turns, axis=1, keepdims=True)
    return np.nan_to_num(offset), np.nan_to_num(grid)


def slope_sums(grid: Floats) -> Sums:
    """Least squares on the turn with a fixed effect of each sample."""
    offset, scores = centred(grid)
    spread = (offset**2).sum(axis=1)
    units = np.where(spread > 0, np.isfinite(grid).sum(axis=1), 0).astype(float)
    return ratio((offset * scores).sum(axis=1), spread, units)


def pooled_sums(grid: Floats) -> Sums:
    """Least squares on the turn with one intercept."""
    known = np.isfinite(grid)
    turns = np.where(known, np.arange(1.0, grid.shape[1] + 1), 0.0)
    scores = np.nan_to_num(grid)
    terms = (known, turns, scores, turns**2, turns * scores)
    n, t, y, tt, ty = (term.sum(axis=1).astype(float) for term in terms)

    def line(w: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Mean turn, slope, intercept and the spread of the turn, each of shape (resamples, 1)."""
        size, centre, level = (w @ n)[:, None], (w @ t / (w @ n))[:, None], (w @ y / (w @ n))[:, None]
        spread = (w @ tt)[:, None] - size * centre**2
        slope = ((w @ ty)[:, None] - size * centre * level) / spread
        return centre, slope, level - slope * centre, spread

    def influence(w: Floats) -> Floats:
        centre, slope, intercept, spread = line(w)
        with_turn = ty - intercept * t - slope * tt
        return np.asarray((with_turn - centre * (y - intercept * n - slope * t)) / spread)

    return Sums(lambda w: line(w)[1][:, 0], influence, n)


def mean_entry(grid: Floats, clusters: npt.NDArray[np.int64] | None = None) -> Entry:
    """The mean over cells, by OLS on a constant."""
    rows, _ = np.nonzero(np.isfinite(grid))
    return regression(grid[np.isfinite(grid)], np.ones((len(rows), 1)), _named(rows, clusters), rows)


def slope_entry(grid: Floats, clusters: npt.NDArray[np.int64] | None = None) -> Entry:
    """The slope within samples, by OLS on what is left of the turn beside each sample's mean turn."""
    offset, _ = centred(grid)
    used = np.isfinite(grid) & ((offset**2).sum(axis=1) > 0)[:, None]
    rows, _ = np.nonzero(used)
    return regression(grid[used], offset[used][:, None], _named(rows, clusters), rows)


def pooled_entry(grid: Floats) -> Entry:
    """The slope of all cells on the turn with one intercept."""
    rows, turns = np.nonzero(np.isfinite(grid))
    design = np.stack([turns + 1.0, np.ones(len(rows))], axis=1)
    return regression(grid[np.isfinite(grid)], design, rows, rows)


def regression(
    scores: Floats, design: Floats, clusters: npt.NDArray[np.int64], samples: npt.NDArray[np.int64]
) -> Entry:
    """The first coefficient with CR1 standard errors by cluster and t(G - 1)."""
    from statsmodels.regression.linear_model import OLS

    if not len(scores):
        return undefined()
    counts = {"n_samples": len(set(samples.tolist())), "n_units": len(scores)}
    if len(set(clusters.tolist())) < 2:
        value = float(np.linalg.lstsq(design, scores, rcond=None)[0][0])
        return empty() | {"est": value} | counts
    fit = OLS(scores, design).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    error, degrees = float(fit.bse[0]), len(set(clusters.tolist())) - 1
    return tested(float(fit.params[0]), error, degrees) | counts


def tested(value: float, error: float, degrees: int) -> Entry:
    """Interval, test against 0, equivalence within the margin, and the detectable effect."""
    from scipy.stats import t

    if error < 1e-9:
        return empty() | {"est": value, "se": 0.0, "ci": [value, value]}
    reach = float(t.ppf(0.975, degrees))
    return {
        "est": value,
        "se": error,
        "ci": [value - reach * error, value + reach * error],
        "p": float(2 * t.sf(abs(value) / error, degrees)),
        "p_equivalence": float(t.cdf((abs(value) - MARGIN) / error, degrees)),
        "mde": (reach + float(t.ppf(0.8, degrees))) * error,
    }


def by_influence(sums: Sums) -> Entry:
    """Value and CR1 standard error from the influences of the samples, without a test."""
    one = np.ones((1, len(sums.units)))
    used = int(np.count_nonzero(sums.units))
    with np.errstate(all="ignore"):
        influence = sums.influence(one)[0]
    error = float(np.sqrt(np.sum(influence**2) * used / (used - 1))) if used > 1 else None
    counts = {"n_samples": used, "n_units": int(sums.units.sum())}
    return empty() | {"est": float(sums.value(one)[0]), "se": error} | counts


def undefined() -> Entry:
    return empty() | {"est": None, "n_samples": 0, "n_units": 0}


def empty() -> Entry:
    return {"se": None, "ci": None, "p": None, "p_equivalence": None, "mde": None}


def adjust(entries: Sequence[Entry], method: str) -> None:
    """Set `p_adjusted` of a family; those without a p-value do not count."""
    from statsmodels.stats.multitest import multipletests

    known = [entry for entry in entries if entry.get("p") is not None]
    for entry in entries:
        entry["p_adjusted"] = None
    if known:
        adjusted = multipletests([entry["p"] for entry in known], method=method)[1]
        for entry, p in zip(known, adjusted, strict=True):
            entry["p_adjusted"] = float(p)


def _named(rows: npt.NDArray[np.int64], clusters: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    return rows if clusters is None else clusters[rows]


def share_entry(sums: Sums) -> Entry:
    """A mean of what lies in [0, 1]: Wilson's interval for the trials that the standard error amounts to."""
    entry = by_influence(sums)
    value, error, degrees = entry["est"], entry["se"], entry["n_samples"] - 1
    if value is None or error is None or degrees < 1:
        return entry
    return entry | {"ci": wilson(value, error, degrees)}


def wilson(value: float, error: float, degrees: int) -> list[float]:
    """The values p at which |value - p| is the t quantile times the root of p (1 - p) / trials.

    Trials: value (1 - value) / error^2, or the clusters where nothing varies.
    """
    from scipy.stats import t

    spread = value * (1 - value)
    trials = spread / error**2 if error > 0 and spread > 0 else degrees + 1
    square = float(t.ppf(0.975, degrees)) ** 2 / trials
    ends = np.roots([1 + square, -(2 * value + square), value**2])
    low, high = sorted(np.clip(np.real(ends), 0.0, 1.0).tolist())
    return [low, high]
