"""Table T5, coupling and wear: how errors and images before a turn go with its score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tests.analysis.recompute.fits import Entry, adjust, mean_entry, regression, tested, undefined
from tests.analysis.recompute.numbers import Scores
from tests.analysis.recompute.stored import Floats

FEWEST = 10
MOST_CORRELATED = 0.95


def propagation(scores: Scores) -> dict[str, Entry]:
    """strategy -> slope of the gap on the error right before it, for those with scores on gold history."""
    return {s: _slope(scores, s) for s in scores.grids.stored.strategies if np.isfinite(scores.gap(s)).any()}


class _Pair(NamedTuple):
    """An image turn with a gap, the error of the image before it, and that error's instrument."""

    row: int
    turn: int
    opens: bool
    """Whether the image before is that of turn 1."""
    gap: float
    error: float
    instrument: float


def _slope(scores: Scores, strategy: str) -> Entry:
    groups: dict[tuple[int, bool], list[_Pair]] = defaultdict(list)
    for pair in _pairs(scores, strategy):
        if np.isfinite(pair.gap + pair.error + pair.instrument):
            groups[pair.turn, pair.opens].append(pair)
    return _within([group for group in groups.values() if len(group) > 1])


def _pairs(scores: Scores, strategy: str) -> Iterator[_Pair]:
    """The error of turn 1 is its own instrument; of later ones it is their change, from turn 2 on."""
    images, gap, error = scores.grids.image_design("own"), scores.gap(strategy), 1 - scores.own(strategy)
    for row in range(len(gap)):
        turns = np.flatnonzero(images[row]).tolist()
        for place, turn in enumerate(turns[1:], 1):
            before, earlier = turns[place - 1], turns[place - 2] if place > 1 else -1
            here = row, turn, before == 0, gap[row, turn], error[row, before]
            if before == 0:
                yield _Pair(*here, error[row, before])
            elif earlier > 0:
                yield _Pair(*here, error[row, before] - error[row, earlier])


def _within(groups: list[list[_Pair]]) -> Entry:
    """Instrumental variables with one intercept for each group; CR1 by dialogue."""
    pairs = [pair for group in groups for pair in group]
    if not pairs:
        return undefined()
    y, x, z = (
        np.concatenate([_centred([getattr(pair, name) for pair in group]) for group in groups])
        for name in ("gap", "error", "instrument")
    )
    slope = (z @ y) / (z @ x)
    rows = np.array([pair.row for pair in pairs])
    if not _is_enough(rows, z * x):
        return undefined()
    totals = np.bincount(rows, z * (y - slope * x) / (z @ x))
    clusters, size = len(set(rows.tolist())), len(pairs)
    factor = clusters / (clusters - 1) * (size - 1) / (size - 2)
    counts = {"n_samples": clusters, "n_units": size}
    return tested(float(slope), float(np.sqrt(factor * (totals**2).sum())), clusters - 1) | counts


def _is_enough(rows: npt.NDArray[np.int64], shared: Floats) -> bool:
    """Whether what the slope divides by exceeds three of its standard errors."""
    totals = np.bincount(rows, shared - shared.mean()) / len(shared)
    clusters = len(set(rows.tolist()))
    error = np.sqrt(clusters / (clusters - 1) * (totals**2).sum())
    return bool(shared.mean() > 3 * error)


def _centred(values: list[float]) -> Floats:
    return np.asarray(np.array(values) - np.mean(values))


def coupling(scores: Scores) -> dict[tuple[str, str], dict[str, Entry]]:
    """(strategy, kind of text turn) -> gap gold less own, and slope on the error of the image before."""
    return {
        (strategy, kind): _coupling(scores, strategy, kind)
        for strategy in scores.grids.stored.strategies
        for kind in ("text", "static", "dynamic")
        if np.isfinite(scores.grids.mean(strategy, "own", "text", kind)).any()
    }


def _coupling(scores: Scores, strategy: str, kind: str) -> dict[str, Entry]:
    own, gold = (scores.grids.mean(strategy, history, "text", kind) for history in ("own", "gold"))
    gold[:, 0] = np.nan
    error = _latest(1 - scores.own(strategy), scores.grids.image_design("own"))
    slope = _on(own, error)
    if slope["n_samples"] < FEWEST:
        slope = undefined() | {name: slope[name] for name in ("n_samples", "n_units")}
    return {"gap": mean_entry(gold - own), "slope": slope}


def _latest(cells: Floats, images: npt.NDArray[np.bool_]) -> Floats:
    """The value at the last image turn before each turn."""
    found = np.full_like(cells, np.nan)
    for row, column in np.ndindex(*cells.shape):
        before = np.flatnonzero(images[row, :column])
        if len(before):
            found[row, column] = cells[row, before[-1]]
    return found


def _on(y: Floats, *regressors: Floats) -> Entry:
    """The coefficient of the first regressor, with fixed effects of dialogues that vary in it."""
    known = np.asarray(np.isfinite(np.stack([y, *regressors])).all(axis=0))
    inside = [_deviations(x, known) for x in regressors]
    used = known & ((inside[0] ** 2).sum(axis=1) > 1e-12)[:, None]
    rows, _ = np.nonzero(used)
    return regression(y[used], np.stack([x[used] for x in inside], axis=1), rows, rows)


def _deviations(x: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    found = np.zeros_like(x)
    for row in range(len(x)):
        found[row, known[row]] = _centred(x[row, known[row]].tolist()) if known[row].any() else 0.0
    return found


def wear(scores: Scores) -> dict[str, dict[str, Entry]]:
    """strategy -> change of the score per own image, per other turn, and their difference."""
    images = scores.grids.image_design("own")
    before = (images.cumsum(axis=1) - images).astype(float)
    others = np.arange(images.shape[1]) - before
    found = {}
    for strategy in scores.grids.stored.strategies:
        own = scores.own(strategy)
        known = np.isfinite(own)
        x, z = _deviations(before, known), _deviations(others, known)
        if not abs((x * z).sum()) <= MOST_CORRELATED * np.sqrt((x**2).sum() * (z**2).sum()):
            found[strategy] = {name: undefined() for name in ("per_image", "per_other", "difference")}
        else:
            found[strategy] = _wear(own, before, others)
    for name in ("per_image", "per_other", "difference"):
        adjust([entries[name] for entries in found.values()], "holm")
    return found


def _wear(own: Floats, images: Floats, others: Floats) -> dict[str, Entry]:
    """One regression, in three sets of coordinates."""
    known = np.isfinite(own)
    varies = (_deviations(images, known) ** 2).sum(axis=1) > 0
    own = np.where(varies[:, None], own, np.nan)
    return {
        "per_image": _of_columns(own, images, others),
        "per_other": _of_columns(own, others, images),
        "difference": _of_columns(own, images, images + others),
    }


def _of_columns(own: Floats, *regressors: Floats) -> Entry:
    known = np.isfinite(own)
    rows, _ = np.nonzero(known)
    design = np.stack([_deviations(x, known)[known] for x in regressors], axis=1)
    return regression(own[known], design, rows, rows)
