"""How much of an error at one image turn goes with a loss at the next: an association, not an effect.

The loss at a turn is its gap (gold less own history), which holds the turn's own difficulty fixed. The error is
1 - score of the image turn right before it, on own history. Dialogues that lose more at every turn have larger
errors and larger gaps without handing anything on, so each pair is compared within its dialogue: with the mean
of the later pairs of the same dialogue (forward deviations, Arellano and Bover 1995), which keeps past errors
out of the comparison. Turn 1 has no history, so its error holds no such loss, and the pair that it opens is
compared across dialogues. Both comparisons hold the turn fixed.

The scorer's noise in the error pulls the slope to 0. A second, independent pass of the scorer over the same
image, as instrument for the error, undoes that.
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

__all__ = ["Propagation", "previous_image", "propagation"]

Cells = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Propagation:
    """Loss of score at an image turn per unit of error at the image turn right before it."""

    strategy: str
    slope: Estimate
    is_instrumented: bool
    """Whether a second pass of the scorer serves as instrument; else its noise attenuates the slope."""


@dataclass(frozen=True)
class _Pairs:
    """Gaps with the error and the instrument of the image turn before; grids (samples, turns)."""

    gap: Floats
    error: Floats
    instrument: Floats
    known: Cells
    opens: Cells
    """Whether the image before is that of turn 1."""


def propagation(panel: Panel, inference: Inference) -> tuple[Propagation, ...]:
    """One per strategy that has scores on gold history."""
    has_gold = (s for s in panel.strategies if np.isfinite(gap(panel, s)).any())
    return tuple(_propagation(panel, inference, strategy) for strategy in has_gold)


def previous_image(images: Cells) -> npt.NDArray[np.int64]:
    """The column of the last image turn before each turn, -1 where there is none; (samples, turns)."""
    columns = np.where(images, np.arange(images.shape[1]), -1)
    latest = np.maximum.accumulate(columns, axis=1)
    none = np.full((len(images), 1), -1, dtype=np.int64)
    return np.hstack([none, latest[:, :-1]])


def _propagation(panel: Panel, inference: Inference, strategy: str) -> Propagation:
    second = panel.scores(strategy, quantity="second")
    is_instrumented = bool(np.isfinite(second).any())
    before = previous_image(panel.design("own"))
    error = _at(1 - panel.scores(strategy), before)
    instrument = _at(1 - second, before) if is_instrumented else error
    gaps = gap(panel, strategy)
    known = np.isfinite(gaps) & np.isfinite(error) & np.isfinite(instrument)
    design = panel.design("own", "gold") & (before >= 0)
    losses = Losses(int(np.count_nonzero(design & ~known)), int(np.count_nonzero(design)))
    pairs = _Pairs(gaps, error, instrument, known, before == 0)
    return Propagation(
        strategy=strategy, slope=_estimate(pairs, losses, inference), is_instrumented=is_instrumented
    )


def _at(grid: Floats, columns: npt.NDArray[np.int64]) -> Floats:
    """The value of each row at the columns that are named; NaN for -1."""
    found = np.take_along_axis(grid, np.maximum(columns, 0), axis=1)
    return np.where(columns >= 0, found, np.nan)


def _estimate(pairs: _Pairs, losses: Losses, inference: Inference) -> Estimate:
    groups = list(_groups(pairs))
    if not groups:
        return undefined("no dialogue has a pair of image turns to compare", losses.missing)
    units = np.sum([group[:, 0] for group in groups], axis=0)
    columns = np.hstack(groups)
    spread = Statistic(columns=columns, formula=_shared_spread, units=units)
    statistic = Statistic(
        columns=columns, formula=_slope, units=units, num_parameters=2, must_exceed_zero=spread
    )
    return inference.closed_form(of_design(statistic, losses))


def _groups(pairs: _Pairs) -> Iterator[Floats]:
    """The terms of each group of pairs that are compared: of one turn, and one number of later pairs."""
    later = _later(pairs.known.astype(np.float64))
    ahead = {
        name: grid - np.divide(_later(grid), later, out=np.full_like(grid, np.nan), where=later > 0)
        for name in ("gap", "error")
        for grid in [np.where(pairs.known, getattr(pairs, name), 0.0)]
    }
    for turn in range(pairs.gap.shape[1]):
        opens = pairs.known[:, turn] & pairs.opens[:, turn]
        yield from _terms(opens, pairs.gap[:, turn], pairs.error[:, turn], pairs.instrument[:, turn])
        for number in range(1, int(later[:, turn].max(initial=0)) + 1):
            rows = pairs.known[:, turn] & ~pairs.opens[:, turn] & (later[:, turn] == number)
            yield from _terms(
                rows, ahead["gap"][:, turn], ahead["error"][:, turn], pairs.instrument[:, turn]
            )


def _later(grid: Floats) -> Floats:
    """The sum over the later turns of each row."""
    return np.asarray(np.cumsum(grid[:, ::-1], axis=1)[:, ::-1] - grid)


def _terms(rows: Cells, y: Floats, x: Floats, z: Floats) -> Iterator[Floats]:
    """Count, y, x, z, yz and xz of each sample; nothing where fewer than two samples can be compared."""
    if np.count_nonzero(rows) > 1:
        y, x, z = (np.where(rows, column, 0.0) for column in (y, x, z))
        yield np.stack([rows.astype(np.float64), y, x, z, y * z, x * z], axis=1)


def _slope(s: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sum of Cov(y, z) over the groups, over that of Cov(x, z)."""
    count, y, x, z, yz, xz = (s[..., column::6] for column in range(6))
    # a resample may leave a group without samples
    size = np.where(np.real(count) > 0, count, 1.0)
    return np.asarray((yz - y * z / size).sum(axis=-1) / (xz - x * z / size).sum(axis=-1))


def _shared_spread(s: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Cov(x, z) within the groups, which a slope divides by."""
    count, x, z, xz = (s[..., column::6] for column in (0, 2, 3, 5))
    size = np.where(np.real(count) > 0, count, 1.0)
    return np.asarray((xz - x * z / size).sum(axis=-1) / count.sum(axis=-1))
