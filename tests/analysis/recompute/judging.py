"""Table T6: verdicts against the scorer's grades, and picks among candidates, from the trees of responses."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from tests.analysis.recompute.fits import Entry, Sums, by_influence, ratio, share_entry, wilson
from tests.analysis.recompute.resamples import Resamples
from tests.analysis.recompute.stored import Floats, Grids, Turn

THRESHOLD = 0.5
BINS = 10
Node = dict[str, Any]


class Judged(NamedTuple):
    """A candidate image with a verdict and a grade."""

    row: int
    verdict: float
    grade: float
    step: float


class Pool(NamedTuple):
    """Candidate images of which one was picked."""

    row: int
    layer: str
    grades: list[float]
    verdicts: list[float | None]
    chosen: int


def is_judged(turn: Turn) -> bool:
    return turn.modality == "image" and bool(turn.line["response"])


def candidates(node: Node) -> Iterator[Node]:
    """Every candidate below a node, at any depth."""
    for candidate in node.get("candidates", ()):
        yield candidate
        yield from candidates(candidate)


def judged(grids: Grids, strategy: str) -> list[Judged]:
    """Every candidate image on own history with a verdict that was read, and a grade."""
    found = []
    for turn in grids.stored.recorded:
        if turn.strategy == strategy and turn.history == "own" and is_judged(turn):
            for node in candidates(turn.line["response"]):
                verdict = node.get("verdict")
                if verdict and verdict["status"] == "ok" and node.get("score") is not None:
                    step = (node.get("score_detail") or {}).get("step_score", math.nan)
                    found.append(Judged(grids.row[turn.sample], verdict["score"], node["score"], step))
    return found


def verifiers(grids: Grids, resamples: Resamples) -> dict[str, dict[str, Any]]:
    """strategy -> rates, AUC and calibration of its judge."""
    found = {strategy: judged(grids, strategy) for strategy in grids.stored.strategies}
    return {strategy: _verifier(grids, resamples, items) for strategy, items in found.items() if items}


def _verifier(grids: Grids, resamples: Resamples, items: list[Judged]) -> dict[str, Any]:
    """By score, and by the score of the step alone."""
    by_step = [item._replace(grade=item.step) for item in items if math.isfinite(item.step)]
    return _accuracy(grids, resamples, items) | {
        "calibration": _calibration(items),
        "by_step": _accuracy(grids, resamples, by_step) if by_step else None,
    }


def _accuracy(grids: Grids, resamples: Resamples, items: list[Judged]) -> dict[str, Any]:
    right, wrong = ([item for item in items if (item.grade == 1) == is_right] for is_right in (True, False))
    size = len(grids.samples)
    accepted = [item for item in right if item.verdict >= THRESHOLD]
    rejected = [item for item in wrong if item.verdict < THRESHOLD]
    rates = {"true_positive_rate": (accepted, right), "true_negative_rate": (rejected, wrong)}
    return {
        name: _rate(resamples, _per_sample(size, above), _per_sample(size, below))
        for name, (above, below) in rates.items()
    } | {
        "auc": _auc(resamples, size, right, wrong),
        "num_positive": len(right),
        "num_negative": len(wrong),
    }


def _per_sample(size: int, items: list[Judged]) -> Floats:
    return np.bincount([item.row for item in items], minlength=size).astype(float)


def _rate(resamples: Resamples, above: Floats, below: Floats) -> Entry:
    sums = ratio(above, below)
    return share_entry(sums) | {"ci_bootstrap": resamples.percentiles(sums)}


def _auc(resamples: Resamples, size: int, right: list[Judged], wrong: list[Judged]) -> Entry:
    """The share of pairs in which the perfect image has the higher verdict; ties count half."""
    high, low = (np.array([item.verdict for item in items]) for items in (right, wrong))
    won = (high[:, None] > low) + (high[:, None] == low) / 2
    wins = np.zeros((size, size))
    np.add.at(wins, np.ix_([item.row for item in right], [item.row for item in wrong]), won)
    of_right, of_wrong = _per_sample(size, right), _per_sample(size, wrong)

    def value(w: Floats) -> Floats:
        return np.asarray(((w @ wins) * w).sum(axis=1) / ((w @ of_right) * (w @ of_wrong)))

    def influence(w: Floats) -> Floats:
        above, below = (w @ of_right)[:, None], (w @ of_wrong)[:, None]
        won_by_either = (w @ wins + w @ wins.T) / (above * below)
        return np.asarray(won_by_either - value(w)[:, None] * (of_right / above + of_wrong / below))

    sums = Sums(value, influence, of_right + of_wrong)
    entry = by_influence(sums)
    rarer = int(min(np.count_nonzero(of_right), np.count_nonzero(of_wrong)))
    if rarer < 2:
        return entry | {"ci": None}
    drawn = {"ci_bootstrap": resamples.percentiles(sums)}
    return entry | drawn | {"ci": _logit_interval(entry["est"], entry["se"], rarer - 1)}


def _logit_interval(value: float, error: float, degrees: int) -> list[float]:
    """Symmetric in the logit; Wilson's where nothing varies."""
    from scipy.stats import t

    if not 0 < value < 1 or error == 0:
        return wilson(value, error, degrees)
    reach = float(t.ppf(0.975, degrees)) * error / (value * (1 - value))
    middle = math.log(value / (1 - value))
    return [1 / (1 + math.exp(-(middle + sign * reach))) for sign in (-1, 1)]


def _calibration(items: list[Judged]) -> list[dict[str, float]]:
    bins: dict[int, list[Judged]] = defaultdict(list)
    for item in items:
        bins[min(BINS - 1, max(0, int(item.verdict * BINS)))].append(item)
    return [
        {
            "verdict": float(np.mean([item.verdict for item in bins[place]])),
            "grade": float(np.mean([item.grade for item in bins[place]])),
            "count": len(bins[place]),
        }
        for place in sorted(bins)
    ]


def pools(grids: Grids, turns: list[Turn]) -> list[Pool]:
    """Every pick of a layer of Best-of-N among graded images."""
    found = []
    for turn in filter(is_judged, turns):
        response = turn.line["response"]
        for node in (response, *candidates(response)):
            layer, offered = node["strategy"].split("+")[0], node.get("candidates", ())
            if layer.startswith("best_of") and len(offered) > 1 and node.get("chosen") is not None:
                grades = [candidate.get("score") for candidate in offered]
                given = [(candidate.get("verdict") or {}).get("score") for candidate in offered]
                if None not in grades:
                    found.append(Pool(grids.row[turn.sample], layer, grades, given, node["chosen"]))
    return found


def selections(grids: Grids, resamples: Resamples) -> dict[tuple[str, str], dict[str, Any]]:
    """(strategy, layer) -> what picking is worth on own history."""
    found: dict[tuple[str, str], list[Pool]] = defaultdict(list)
    for turn in grids.stored.recorded:
        if turn.history == "own":
            for pool in pools(grids, [turn]):
                found[turn.strategy, pool.layer].append(pool)
    return {place: _selection(grids, resamples, items) for place, items in found.items()}


def _selection(grids: Grids, resamples: Resamples, items: list[Pool]) -> dict[str, Any]:
    size = len(grids.samples)
    picked = [pool.grades[pool.chosen] for pool in items]
    best = [max(pool.grades) for pool in items]
    random = [float(np.mean(pool.grades)) for pool in items]

    def total(values: list[float]) -> Floats:
        return np.bincount([pool.row for pool in items], values, minlength=size).astype(float)

    number = total([1.0] * len(items))
    shown = {"random": random, "arm": picked, "best": best}
    levels = {name: _level(resamples, total(values), number) for name, values in shown.items()}
    gained, possible = total(picked) - total(random), total(best) - total(random)
    lost = ratio(total(best) - total(picked), number)
    return levels | {
        "num_pools": len(items),
        "candidates_per_pool": float(np.mean([len(pool.grades) for pool in items])),
        "regret": share_entry(lost) | {"ci_bootstrap": resamples.percentiles(lost)},
        "share": _share(resamples, gained, possible, number),
    }


def _level(resamples: Resamples, above: Floats, below: Floats) -> Entry:
    sums = ratio(above, below)
    return share_entry(sums) | {"ci_bootstrap": resamples.percentiles(sums)}


def _share(resamples: Resamples, gained: Floats, possible: Floats, number: Floats) -> Entry:
    under = by_influence(ratio(possible, number))
    if not under["est"] > max(1e-9, 3 * under["se"]):
        return {"est": None}
    sums = ratio(gained, possible, number)
    entry = by_influence(sums)
    ends = _rate_interval(1 - entry["est"], entry["se"], entry["n_samples"])
    return entry | {"ci": [1 - ends[1], 1 - ends[0]], "ci_bootstrap": resamples.percentiles(sums)}


def _rate_interval(missed: float, error: float, clusters: int) -> list[float]:
    """The rates m at which |missed - m| is the t quantile times the root of m x unit."""
    from scipy.stats import t

    missed = max(0.0, missed)
    unit = error**2 / missed if missed > 0 else 1 / clusters
    square = float(t.ppf(0.975, clusters - 1)) ** 2 * unit
    low, high = sorted(np.real(np.roots([1, -(2 * missed + square), missed**2])).tolist())
    return [low, high]


def curves(grids: Grids) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """(strategy, layer, where) -> by n, the means over every subset of n candidates."""
    found: dict[tuple[str, str, str], list[Pool]] = defaultdict(list)
    for turn in grids.stored.recorded:
        if (turn.number == 1) == (turn.history == "own") and turn.history in ("own", "gold"):
            where = "turn 1" if turn.number == 1 else "gold history"
            for pool in pools(grids, [turn]):
                found[turn.strategy, pool.layer, where].append(pool)
    return {place: list(_rungs(items, len(grids.samples))) for place, items in found.items()}


def _rungs(items: list[Pool], size: int) -> Iterator[dict[str, Any]]:
    smallest = min(len(pool.grades) for pool in items)
    rows = [pool.row for pool in items]
    number = np.bincount(rows, minlength=size).astype(float)
    for n in (2**power for power in range(int(math.log2(smallest)) + 1)):
        means = np.array([_over_subsets(pool, n) for pool in items])
        totals = (np.bincount(rows, column, minlength=size).astype(float) for column in means.T)
        kinds = zip(("random", "arm", "best"), totals, strict=True)
        yield {"num_candidates": n} | {kind: share_entry(ratio(total, number)) for kind, total in kinds}


def _over_subsets(pool: Pool, n: int) -> tuple[float, float, float]:
    """Mean grades of a random candidate, the one of the highest verdict and the best, of every n of them."""
    marks = [-math.inf if verdict is None else verdict for verdict in pool.verdicts]
    subsets = list(combinations(range(len(pool.grades)), n))
    picked = [pool.grades[max(subset, key=lambda i: (marks[i], -i))] for subset in subsets]
    best = [max(pool.grades[i] for i in subset) for subset in subsets]
    return float(np.mean(pool.grades)), float(np.mean(picked)), float(np.mean(best))


def bases(grids: Grids) -> dict[str, dict[str, dict[str, int]]]:
    """strategy -> layer -> verdicts, unread ones, pools, identical ones, and candidates that stood alone."""
    found: dict[str, dict[str, dict[str, int]]] = {strategy: {} for strategy in grids.stored.strategies}
    for turn in filter(is_judged, grids.stored.recorded):
        response = turn.line["response"]
        for node in (response, *candidates(response)):
            if offered := node.get("candidates", ()):
                layer = node["strategy"].split("+")[0].partition("[")[0]
                counts = found[turn.strategy].setdefault(layer, dict.fromkeys(COUNTS, 0))
                for name, number in _of_node(offered).items():
                    counts[name] += number
    return found


COUNTS = ("num_verdicts", "num_unread", "num_pools", "num_identical", "num_single")


def _of_node(offered: list[Node]) -> dict[str, int]:
    verdicts = [candidate["verdict"] for candidate in offered if candidate.get("verdict")]
    images = [candidate["output"]["image"] for candidate in offered if "image" in (candidate["output"] or {})]
    is_pool = len(images) > 1
    numbers = (
        len(verdicts),
        sum(verdict["status"] != "ok" for verdict in verdicts),
        is_pool,
        is_pool and len(set(images)) == 1,
        len(offered) == 1,
    )
    return dict(zip(COUNTS, map(int, numbers), strict=True))
