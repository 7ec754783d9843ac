"""Worst-case bounds of a gap and of its reduction over all possible scores of the missing turns (Manski
1990).

A dialogue that ends early on its own history lacks the turns that would have scored worst. These turns have
no gap, so the mean over the known gaps is too small. The bounds need no model of the missing scores.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Floats
from analysis.panel import Panel

__all__ = ["UNKNOWN", "Bounds", "gap_bounds", "mean_bounds", "reduction_bounds"]


class Bounds(NamedTuple):
    """The least and the greatest possible value; equal if nothing is missing."""

    low: float
    high: float


UNKNOWN = Bounds(float("nan"), float("nan"))


def gap_bounds(panel: Panel, strategy: str) -> Bounds:
    """Bounds of the mean of gold minus own score, over all planned turns t >= 2 on both histories."""
    low, high = _gaps(panel, strategy)
    return _means(low, high, panel.design("own", "gold"))


def reduction_bounds(panel: Panel, strategy: str, baseline: str) -> Bounds:
    """Bounds of the baseline's mean gap minus the strategy's mean gap."""
    low, high = _gaps(panel, strategy)
    reference_low, reference_high = _gaps(panel, baseline)
    return _means(reference_low - high, reference_high - low, panel.design("own", "gold"))


def mean_bounds(panel: Panel, strategy: str) -> Bounds:
    """Bounds of the mean score on own history, over all turns that any strategy planned."""
    low, high = _scores(panel, strategy, "own")
    return _means(low, high, panel.design("own"))


def _gaps(panel: Panel, strategy: str) -> tuple[Floats, Floats]:
    (own_low, own_high), (gold_low, gold_high) = (_scores(panel, strategy, h) for h in ("own", "gold"))
    return gold_low - own_high, gold_high - own_low


def _scores(panel: Panel, strategy: str, history: str) -> tuple[Floats, Floats]:
    """The lowest and highest possible mean over seeds of each cell: every missing turn scores 0, or every one
    scores 1.
    """
    tally = panel.tally(strategy, history, "image")
    planned = np.maximum(tally.planned, 1)
    return tally.sums / planned, (tally.sums + planned - tally.counts) / planned


def _means(low: Floats, high: Floats, cells: npt.NDArray[np.bool_]) -> Bounds:
    if not cells.any():
        return UNKNOWN
    return Bounds(float(low[cells].mean()), float(high[cells].mean()))
