"""Table T5: the gap at an image turn on the error at the image turn right before it, with turn effects."""

from __future__ import annotations

import numpy as np

from tests.analysis.recompute.fits import Entry, regression
from tests.analysis.recompute.numbers import Scores
from tests.analysis.recompute.stored import Floats


def propagation(scores: Scores) -> dict[str, Entry]:
    """strategy -> slope, for those with scores behind gold history."""
    found = {strategy: _slope(scores, strategy) for strategy in scores.grids.stored.strategies}
    return {strategy: entry for strategy, entry in found.items() if entry["n_units"]}


def _slope(scores: Scores, strategy: str) -> Entry:
    gap = scores.gap(strategy)
    error = _right_before(1 - scores.own(strategy), scores.grids.image_design("own"))
    known = np.isfinite(gap) & np.isfinite(error)
    rows, turns = np.nonzero(known)
    effects = (turns[:, None] == np.unique(turns)).astype(float)
    return regression(gap[known], np.hstack([error[known][:, None], effects]), rows, rows)


def _right_before(cells: Floats, images: np.typing.NDArray[np.bool_]) -> Floats:
    """The value of the image turn before each one, NaN where that one has none."""
    before = np.full_like(cells, np.nan)
    for row in range(len(cells)):
        turns = np.flatnonzero(images[row])
        before[row, turns[1:]] = cells[row, turns[:-1]]
    return before
