"""Table T4 but its mixed model: the two headline comparisons under other weights, clusters and models."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.analysis.recompute.fits import Entry, centred, mean_entry, slope_entry, tested
from tests.analysis.recompute.numbers import Scores
from tests.analysis.recompute.stored import Floats

Key = tuple[str, str, str]
"""Strategy, estimand, model."""


def checks(scores: Scores, baseline: str) -> dict[Key, Entry]:
    """Primary, by task, samples of equal weight, and dialogues of equal length."""
    found: dict[Key, Entry] = {}
    for strategy in scores.grids.stored.strategies:
        if strategy != baseline:
            gained = scores.own(strategy) - scores.own(baseline)
            reduced = scores.gap(baseline) - scores.gap(strategy)
            for estimand, grid in (("slope_change", gained), ("eb_reduction", reduced)):
                for model, entry in _models(scores, grid, estimand).items():
                    found[strategy, estimand, model] = entry
    return found


def _models(scores: Scores, grid: Floats, estimand: str) -> dict[str, Entry]:
    entry = slope_entry if estimand == "slope_change" else mean_entry
    above, below = _parts(grid, is_slope=estimand == "slope_change")
    lengths = scores.grids.last_image_turn
    return {
        "primary": entry(grid),
        "task": entry(grid, _tasks(scores)),
        "sample": _weighted(above, below, np.arange(len(above)), grid),
        "length": _weighted(above, below, lengths, grid),
    }


def _tasks(scores: Scores) -> np.typing.NDArray[np.int64]:
    names = [sample[:3] for sample in scores.grids.samples]
    return np.array([sorted(set(names)).index(name) for name in names])


def _parts(grid: Floats, *, is_slope: bool) -> tuple[Floats, Floats]:
    """What each sample adds above and below the line."""
    if not is_slope:
        return np.nansum(grid, axis=1), np.isfinite(grid).sum(axis=1).astype(float)
    offset, scores = centred(grid)
    return (offset * scores).sum(axis=1), (offset**2).sum(axis=1)


def _weighted(above: Floats, below: Floats, stratum: Any, grid: Floats) -> Entry:
    """The mean over strata, by their samples, of each stratum's own ratio."""
    used = below > 1e-12
    value, influence = 0.0, np.zeros(len(above))
    for name in set(stratum[used].tolist()):
        here = used & (stratum == name)
        share, own = here.sum() / used.sum(), above[here].sum() / below[here].sum()
        value += share * own
        influence[here] = share * (above[here] - own * below[here]) / below[here].sum()
    if len(set(stratum[used].tolist())) == used.sum():  # a mean of the samples' own ratios
        influence[used] = (above[used] / below[used] - value) / used.sum()
    clusters = int(used.sum())
    error = float(np.sqrt((influence**2).sum() * clusters / (clusters - 1)))
    units = int(np.isfinite(grid)[used].sum())
    return tested(value, error, clusters - 1) | {"n_samples": clusters, "n_units": units}
