"""Table T8: what an image turn costs, what each unit beyond the baseline's buys, and the Pareto front."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.analysis.recompute.fits import undefined
from tests.analysis.recompute.numbers import Scores, ratio_of_means
from tests.analysis.recompute.resamples import Resamples
from tests.analysis.recompute.stored import Floats, Turn

Tree = dict[str, Any]
FIELDS = ("images", "nfe", "generator_tokens", "judge_tokens", "generator_seconds", "judge_seconds")
ANSWERED = ("scored", "unscored", "judge_error")


def costs(scores: Scores, resamples: Resamples, baseline: str) -> Tree:
    """Costs and efficiency of each arm, and the front."""
    cells = {strategy: _cells(scores, strategy) for strategy in scores.grids.stored.strategies}
    return {
        "cost": {strategy: _means(grid) for strategy, grid in cells.items()},
        "efficiency": {
            strategy: _efficiency(scores, resamples, cells, strategy, baseline)
            for strategy in cells
            if strategy != baseline
        },
        "pareto_front": _front(scores, cells),
    }


def _cells(scores: Scores, strategy: str) -> Floats:
    """Costs of answered image turns on own history, shape (samples, turns, fields): the mean over seeds."""
    sums, counts = np.zeros((*scores.grids.shape, len(FIELDS))), np.zeros((*scores.grids.shape, 1))
    for turn in scores.grids.stored.recorded:
        place = turn.strategy, turn.history, turn.modality
        if place == (strategy, "own", "image") and turn.line["outcome"] in ANSWERED:
            cell = scores.grids.row[turn.sample], turn.number - 1
            sums[cell] += _cost(turn)
            counts[cell] += 1
    return np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan)


def _cost(turn: Turn) -> list[float]:
    parts = [turn.line["cost"].get(who, {}) for who in ("generator", "judge")]
    spent = [part.get(what, 0) for what in ("new_tokens", "seconds") for part in parts]
    return [turn.line["images"], turn.line["nfe"], *spent]


def _means(cells: Floats) -> dict[str, float]:
    answered = cells[np.isfinite(cells).all(axis=2)]
    return dict(zip(FIELDS, answered.mean(axis=0).tolist(), strict=True))


def _efficiency(
    scores: Scores, resamples: Resamples, cells: dict[str, Floats], strategy: str, baseline: str
) -> Tree:
    gained = scores.own(strategy) - scores.own(baseline)
    extra = {name: _total(cells[strategy], name) - _total(cells[baseline], name) for name in UNITS}
    found = {name: ratio_of_means(gained, more, resamples) for name, more in extra.items()}
    return {name: entry if entry["est"] is not None else undefined() for name, entry in found.items()}


UNITS = {"per_nfe": (1,), "per_token": (2, 3), "per_second": (4, 5)}
"""The fields that are added up."""


def _total(cells: Floats, unit: str) -> Floats:
    return np.asarray(cells[:, :, UNITS[unit]].sum(axis=2))


def _front(scores: Scores, cells: dict[str, Floats]) -> list[str]:
    """Strategies that no other equals or beats in both NFE and score on the cells that all have."""
    own = {strategy: scores.own(strategy) for strategy in cells}
    known = np.isfinite(np.stack(list(own.values()))).all(axis=0)
    points = {s: (cells[s][known, 1].mean(), grid[known].mean()) for s, grid in own.items()}
    front = [
        name
        for name, (cost, score) in points.items()
        if not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points.values())
    ]
    return sorted(front, key=lambda name: points[name])
