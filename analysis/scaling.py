"""Gains from more candidates: gain per doubling of N between arms, and curves over n from one pool.

A curve from one pool is the exact expectation over all subsets of n of its N candidates. It exists only if
the history of the candidates does not depend on which of them is chosen: at turn 1, and on gold history.
Later turns on own history are excluded, because their pools depend on the earlier choice.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Floats
from analysis.estimands import of_design
from analysis.inference import Estimate, Inference, undefined
from analysis.names import label_of, setting_of
from analysis.panel import Panel
from analysis.records import Record, Study
from analysis.responses import Pool
from analysis.statistic import Statistic, mean, share

_STEMS = ("best_of", "bon", "majority_of", "oracle_best_of")
"""Stems of labels whose trailing number is a number of candidates."""

__all__ = ["Curve", "Ladder", "Rung", "curves", "ladders"]


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A ladder: strategies that differ only in the number of candidates N."""

    family: str
    rungs: Mapping[str, int]
    """The number of candidates N of each strategy, in increasing order."""
    gain_per_doubling: Estimate
    """OLS slope of the image score on log2 N with cell fixed effects, on cells with scores for every N."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """The mean scores with n candidates: of a random one, of the arm's choice, and of the best one."""

    num_candidates: int
    random: Estimate
    arm: Estimate
    best: Estimate


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Scores over n = 1, 2, 4, ... from the pools of one layer of one strategy."""

    strategy: str
    layer: str
    where: str
    """The turns whose pools are used: "turn 1" or "gold history"."""
    num_pools: int
    rungs: tuple[Rung, ...]


def ladders(
    study: Study, panel: Panel, inference: Inference, stems: Sequence[str] = ()
) -> tuple[Ladder, ...]:
    """Find the ladders of a study (strategies that differ only in N) and estimate their gain per doubling of
    N.

    N is the number of candidates in the records, or the number at the end of a label such as best_of_8. Only
    labels of Best-of-N and majority vote, and those whose stem is in `stems`, are read in this way, because
    other numbers may be prompt versions. Oracle arms form ladders of their own.
    """
    claimed = [strategy for strategy in panel.strategies if not panel.void(strategy)]
    families = _families(study.num_candidates, claimed, stems)
    grids = {family: _slope_grid(panel, rungs) for family, rungs in families.items()}
    found = inference.estimates(grids)
    return tuple(
        Ladder(family=family, rungs=rungs, gain_per_doubling=found[family])
        for family, rungs in families.items()
    )


def curves(study: Study, panel: Panel, inference: Inference) -> tuple[Curve, ...]:
    """The curves of every strategy, Best-of-N layer, and admissible set of turns."""
    rows = {sample: row for row, sample in enumerate(panel.samples)}
    pools: dict[tuple[str, str, str], list[tuple[int, Pool]]] = defaultdict(list)
    for record in study.records:
        if where := _where(record):
            for pool in record.pools:
                pools[record.key.strategy, pool.layer, where].append((rows[record.key.sample], pool))
    return tuple(
        Curve(
            strategy=strategy,
            layer=layer,
            where=where,
            num_pools=len(found),
            rungs=tuple(_rungs(found, len(panel.samples), inference)),
        )
        for (strategy, layer, where), found in sorted(pools.items())
    )


def _where(record: Record) -> str | None:
    if record.key.turn == 1:
        return "turn 1" if record.key.history == "own" else None
    return "gold history" if record.key.history == "gold" else None


def _families(
    stated: Mapping[str, int], strategies: Iterable[str], stems: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Return N by family and strategy.

    The strategies with stated N form one family. If two of them have the same N, families follow from the
    labels instead.
    """
    whole = {s: stated[s] for s in strategies if s in stated}
    if len(set(whole.values())) == len(whole) > 1:
        return {"N": _rising(whole)}
    families: dict[str, dict[str, int]] = defaultdict(dict)
    for strategy in strategies:
        match = re.fullmatch(r"(.*?)(\d+)", label_of(strategy))
        if match and (strategy in stated or _stem(match[1]) in (*_STEMS, *map(_stem, stems))):
            size = stated.get(strategy, int(match[2]))
            if size > 0:
                families[_family(match[1], setting_of(strategy))][strategy] = size
    return {name: _rising(rungs) for name, rungs in families.items() if len(set(rungs.values())) > 1}


def _family(stem: str, setting: str) -> str:
    return f"{_stem(stem)} @ {setting}" if setting else _stem(stem)


def _stem(text: str) -> str:
    return text.rstrip("_-@= ")


def _rising(rungs: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(rungs.items(), key=lambda item: item[1]))


def _slope_grid(panel: Panel, rungs: Mapping[str, int]) -> Statistic:
    doublings = np.log2(list(rungs.values()))
    offsets = doublings - doublings.mean()
    weights = offsets / np.sum(offsets**2)
    grid = np.sum([w * panel.scores(s) for w, s in zip(weights, rungs, strict=True)], axis=0)
    return of_design(mean(grid), panel.losses(*((strategy, "own") for strategy in rungs)))


def _rungs(pools: Sequence[tuple[int, Pool]], num_samples: int, inference: Inference) -> Iterable[Rung]:
    smallest = min(len(pool.grades) for _, pool in pools)
    cluster = np.array([row for row, _ in pools])
    sizes = np.bincount(cluster, minlength=num_samples).astype(np.float64)
    for doubling in range(int(math.log2(smallest)) + 1):
        num = 2**doubling
        kinds = {
            "random": [float(np.mean(pool.grades)) for _, pool in pools],
            "arm": [_expected(pool, num, pool.verdicts) for _, pool in pools],
            "best": [_expected(pool, num, pool.grades) for _, pool in pools],
        }
        sums = {kind: _sums(cluster, grades, num_samples) for kind, grades in kinds.items()}
        found = {kind: inference.closed_form(share(total, sizes)) for kind, total in sums.items()}
        if any(pool.is_ranked and 1 < num < len(pool.grades) for _, pool in pools):
            found["arm"] = undefined("ranks would differ among fewer candidates")
        yield Rung(num_candidates=num, **found)


def _sums(cluster: npt.NDArray[np.int64], values: Sequence[float], num_samples: int) -> Floats:
    return np.bincount(cluster, np.array(values), num_samples).astype(np.float64)


def _expected(pool: Pool, num: int, marks: Sequence[float | None]) -> float:
    """The expected grade of the candidate with the highest mark over all subsets of size `num`; ties go to
    the first.
    """
    total = len(pool.grades)
    known = [-math.inf if mark is None else mark for mark in marks]
    ranked = sorted(range(total), key=lambda i: (-known[i], i))
    subsets = math.comb(total, num)
    chances = (math.comb(total - 1 - rank, num - 1) / subsets for rank in range(total))
    return sum(chance * pool.grades[i] for chance, i in zip(chances, ranked, strict=True))
