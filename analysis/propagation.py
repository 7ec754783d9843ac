"""How far an error at one image turn lowers the next: the gap that follows per unit of previous error.

The gap (gold less own) holds the turn's own difficulty fixed. The previous error, 1 - score, is measured with
the scorer's noise, which pulls the slope to 0; a second, independent pass of the scorer as instrument undoes
that. Without one the slope is an attenuated lower bound, and is called so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.bootstrap import Floats
from analysis.estimands import gap
from analysis.inference import Estimate, Inference
from analysis.panel import Panel
from analysis.statistic import Statistic

__all__ = ["Propagation", "propagation"]


@dataclass(frozen=True, kw_only=True)
class Propagation:
    """Loss of score at the next image turn per unit of error at this one."""

    strategy: str
    slope: Estimate
    is_instrumented: bool
    """Whether a second pass of the scorer serves as instrument; else the slope is attenuated."""


def propagation(panel: Panel, inference: Inference) -> tuple[Propagation, ...]:
    """One per strategy that has scores behind gold history."""
    found = (_propagation(panel, inference, strategy) for strategy in panel.strategies)
    return tuple(p for p in found if p.slope.num_units)


def _propagation(panel: Panel, inference: Inference, strategy: str) -> Propagation:
    second = panel.scores(strategy, quantity="second")
    is_instrumented = bool(np.isfinite(second).any())
    error = _previous(1 - panel.scores(strategy))
    instrument = _previous(1 - second) if is_instrumented else error
    slope = _slope(gap(panel, strategy), error, instrument)
    return Propagation(strategy=strategy, slope=inference.closed_form(slope), is_instrumented=is_instrumented)


def _previous(grid: Floats) -> Floats:
    """Each cell's value at the image turn before it, text turns skipped."""
    before = np.full_like(grid, np.nan)
    last = np.full(len(grid), np.nan)
    for turn in range(grid.shape[1]):
        before[:, turn] = last
        last = np.where(np.isfinite(grid[:, turn]), grid[:, turn], last)
    return before


def _slope(gaps: Floats, error: Floats, instrument: Floats) -> Statistic:
    """Cov(gap, instrument) / Cov(error, instrument)."""
    known = np.isfinite(gaps) & np.isfinite(error) & np.isfinite(instrument)
    y, x, z = (np.where(known, grid, 0.0) for grid in (gaps, error, instrument))
    terms = [known.astype(np.float64), y, x, z, y * z, x * z]
    return Statistic(
        columns=np.stack([term.sum(axis=1) for term in terms], axis=1),
        formula=lambda s: (
            (s[..., 0] * s[..., 4] - s[..., 1] * s[..., 3]) / (s[..., 0] * s[..., 5] - s[..., 2] * s[..., 3])
        ),
        units=known.sum(axis=1).astype(np.float64),
        num_parameters=2,
    )
