"""Worst cases: what a gap and its reduction can be, whatever the missing turns would have scored.

A dialogue that ends early on its own history is missing where it would have scored worst. Its own turns have
no gap, so the mean over the known gaps is too small. No model of what is missing is needed for the extremes
(Manski 1990).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analysis.bootstrap import Floats
from analysis.panel import Panel

__all__ = ["UNKNOWN", "Bounds", "gap_bounds", "reduction_bounds"]


class Bounds(NamedTuple):
    """The least and the greatest value; equal where nothing is missing."""

    low: float
    high: float


UNKNOWN = Bounds(float("nan"), float("nan"))


def gap_bounds(panel: Panel, strategy: str) -> Bounds:
    """Of the mean of gold less own over the turns t >= 2 of the design, all of them."""
    low, high = _gaps(panel, strategy)
    return _means(panel, low, high)


def reduction_bounds(panel: Panel, strategy: str, baseline: str) -> Bounds:
    """Of the mean gap of the baseline less that of the strategy."""
    low, high = _gaps(panel, strategy)
    reference_low, reference_high = _gaps(panel, baseline)
    return _means(panel, reference_low - high, reference_high - low)


def _gaps(panel: Panel, strategy: str) -> tuple[Floats, Floats]:
    (own_low, own_high), (gold_low, gold_high) = (_scores(panel, strategy, h) for h in ("own", "gold"))
    return gold_low - own_high, gold_high - own_low


def _scores(panel: Panel, strategy: str, history: str) -> tuple[Floats, Floats]:
    """The mean over the seeds of each cell if every missing one scored 0, and if every one scored 1."""
    tally = panel.tally(strategy, history, "image")
    planned = np.maximum(tally.planned, 1)
    return tally.sums / planned, (tally.sums + planned - tally.counts) / planned


def _means(panel: Panel, low: Floats, high: Floats) -> Bounds:
    cells = panel.design("own", "gold")
    if not cells.any():
        return UNKNOWN
    return Bounds(float(low[cells].mean()), float(high[cells].mean()))
