"""Exposure bias: how much higher a strategy scores behind reference history than behind its own.

EB(t) = E[gold - own] at turn t; EB is the mean over image turns t >= 2 (turn 1 has no history), every
turn with equal weight, gold and own paired within (sample, turn).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.bootstrap import Bootstrap, Estimate, Floats, Statistic, is_well_above_zero, ratio_of
from analysis.panel import Panel

__all__ = ["ExposureBias", "exposure_bias", "gap"]


@dataclass(frozen=True, kw_only=True)
class ExposureBias:
    """The exposure-bias gap of one strategy, and what it takes off the baseline's."""

    per_turn: tuple[Estimate, ...]
    """EB(t), from turn 1 on; undefined at turn 1."""
    mean: Estimate
    num_missing: int
    """Turns planned behind both histories that lack a score behind one of them."""
    reduction: Estimate | None
    """EB of the baseline less this one, on the cells that all four arms have."""
    reduction_share: Estimate | None
    """The reduction over the baseline's EB; None where that is too close to 0 to divide by."""


def gap(panel: Panel, strategy: str) -> Floats:
    """Gold less own score of image turns t >= 2, shape (samples, turns), NaN where not both scored."""
    difference = panel.scores(strategy, "gold") - panel.scores(strategy, "own")
    difference[:, 0] = np.nan
    return difference


def exposure_bias(panel: Panel, bootstrap: Bootstrap, baseline: str | None) -> dict[str, ExposureBias]:
    """The exposure bias of every strategy that has a score behind gold history."""
    gaps = {s: g for s in panel.strategies if np.isfinite(g := gap(panel, s)).any()}
    return {
        strategy: ExposureBias(
            per_turn=tuple(s.estimate() for s in bootstrap.means(_by_turn(cells))),
            mean=bootstrap.means([cells])[0].estimate(),
            num_missing=_num_missing(panel, strategy, cells),
            **_reduction(bootstrap, gaps, strategy, baseline),
        )
        for strategy, cells in gaps.items()
    }


def _by_turn(cells: Floats) -> list[Floats]:
    return [cells[:, turn : turn + 1] for turn in range(cells.shape[1])]


def _reduction(
    bootstrap: Bootstrap, gaps: dict[str, Floats], strategy: str, baseline: str | None
) -> dict[str, Estimate | None]:
    if baseline not in gaps or strategy == baseline:
        return {"reduction": None, "reduction_share": None}
    difference = gaps[baseline] - gaps[strategy]
    at_baseline = np.where(np.isfinite(difference), gaps[baseline], np.nan)
    reduction, reference = bootstrap.means([difference, at_baseline])
    return {"reduction": reduction.estimate(), "reduction_share": _share(reduction, reference)}


def _share(reduction: Statistic, reference: Statistic) -> Estimate | None:
    return ratio_of(reduction, reference).estimate() if is_well_above_zero(reference) else None


def _num_missing(panel: Panel, strategy: str, cells: Floats) -> int:
    planned = panel.tally(strategy, "gold", "image").planned * panel.tally(strategy, "own", "image").planned
    return int(np.count_nonzero(planned[:, 1:]) - np.isfinite(cells).sum())
