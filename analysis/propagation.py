"""The association between an error at one image turn and the loss at the next: not a causal effect.

The loss at a turn is its gap (gold minus own score), which holds the turn's own difficulty fixed. The error
is 1 - score of the previous image turn on own history. A dialogue that loses more at every turn has larger
errors and larger gaps without any propagation. Therefore the instrument for the error is its change since the
image turn before it (Blundell and Bond 1998). The error at turn 1 is its own instrument: turn 1 has no
history, so its error contains no such loss. The change at the second image turn is not used, because that
turn is the first whose error contains the loss. All comparisons hold the turn fixed.

The scorer's noise in the error attenuates the slope towards 0. If a second, independent pass of the scorer
over the same images exists, the instrument is computed from that pass, which removes the attenuation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Floats
from analysis.estimands import gap, of_design
from analysis.inference import Estimate, Inference, undefined
from analysis.panel import Losses, Panel
from analysis.statistic import Statistic

__all__ = ["Propagation", "before_image", "propagation"]

Columns = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Propagation:
    """The loss of score at an image turn per unit of error at the previous image turn."""

    strategy: str
    slope: Estimate
    is_instrumented: bool
    """Whether the instrument comes from a second pass of the scorer; otherwise scorer noise attenuates the
    slope.
    """


def propagation(panel: Panel, inference: Inference) -> tuple[Propagation, ...]:
    """The propagation of each strategy that has scores on gold history."""
    has_gold = (s for s in panel.strategies if np.isfinite(gap(panel, s)).any())
    return tuple(_propagation(panel, inference, strategy) for strategy in has_gold)


def before_image(panel: Panel, grid: Floats) -> Floats:
    """The value of `grid` at the latest image turn before each turn; NaN if there is none."""
    return _at(grid, _previous_image(panel))


def _propagation(panel: Panel, inference: Inference, strategy: str) -> Propagation:
    second = panel.scores(strategy, quantity="second")
    is_instrumented = bool(np.isfinite(second).any())
    before = _previous_image(panel)
    two_before = np.where(before >= 0, np.take_along_axis(before, np.maximum(before, 0), axis=1), -1)
    gaps, error = gap(panel, strategy), _at(1 - panel.scores(strategy), before)
    passed = 1 - second if is_instrumented else 1 - panel.scores(strategy)
    level, change = _at(passed, before), _at(passed, before) - _at(passed, two_before)
    instrument = np.where(before == 0, level, np.where(two_before > 0, change, np.nan))
    design = panel.design("own", "gold") & ((before == 0) | (two_before > 0))
    known = np.isfinite(gaps) & np.isfinite(error) & np.isfinite(instrument) & design
    losses = Losses(int(np.count_nonzero(design & ~known)), int(np.count_nonzero(design)))
    groups = list(_groups(known, before, gaps, error, instrument))
    slope = _slope(groups, losses, inference)
    return Propagation(strategy=strategy, slope=slope, is_instrumented=is_instrumented)


def _previous_image(panel: Panel) -> Columns:
    """The column of the latest image turn before each turn, shape (samples, turns); -1 if there is none."""
    images = panel.design("own")
    latest = np.maximum.accumulate(np.where(images, np.arange(images.shape[1]), -1), axis=1)
    none = np.full((len(images), 1), -1, dtype=np.int64)
    return np.hstack([none, latest[:, :-1]])


def _at(grid: Floats, columns: Columns) -> Floats:
    """The values of each row of `grid` at `columns`; NaN for column -1."""
    found = np.take_along_axis(grid, np.maximum(columns, 0), axis=1)
    return np.where(columns >= 0, found, np.nan)


def _groups(
    known: npt.NDArray[np.bool_], before: Columns, y: Floats, x: Floats, z: Floats
) -> Iterator[Floats]:
    """Columns (count, y, x, z, yz, xz) by sample for the pairs of one turn and one kind of instrument."""
    for turn in range(known.shape[1]):
        opens = before[:, turn] == 0
        for rows in (known[:, turn] & opens, known[:, turn] & ~opens):
            if np.count_nonzero(rows) > 1:
                columns = [np.where(rows, grid[:, turn], 0.0) for grid in (y, x, z)]
                products = [columns[0] * columns[2], columns[1] * columns[2]]
                yield np.stack([rows.astype(np.float64), *columns, *products], axis=1)


def _slope(groups: list[Floats], losses: Losses, inference: Inference) -> Estimate:
    if not groups:
        return undefined("no two dialogues have a pair of image turns to compare", losses.missing)
    columns = np.hstack(groups)
    units: Floats = np.sum([group[:, 0] for group in groups], axis=0)
    statistic = Statistic(
        columns=columns,
        formula=lambda s: _covariance(s, 4, 1) / _covariance(s, 5, 2),
        units=units,
        num_parameters=2,
        must_exceed_zero=Statistic(
            columns=columns, formula=lambda s: _covariance(s, 5, 2) / s[..., 0::6].sum(axis=-1), units=units
        ),
    )
    found = inference.closed_form(of_design(statistic, losses))
    if found.is_defined:
        return found
    return undefined("errors at the image turn before vary too little to compare", losses.missing)


def _covariance(s: npt.NDArray[Any], product: int, column: int) -> npt.NDArray[Any]:
    """The sum over groups of the within-group covariance of z (column 3) with another column."""
    # a resample may leave a group without samples
    size = np.where(np.real(s[..., 0::6]) > 0, s[..., 0::6], 1.0)
    return np.asarray((s[..., product::6] - s[..., column::6] * s[..., 3::6] / size).sum(axis=-1))
