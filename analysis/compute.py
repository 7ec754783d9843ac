"""What strategies cost, the gain per unit of cost, and the Pareto front of score against cost.

Costs are taken over answered turns only: a failed turn costs little and would make its strategy look cheap.
Comparisons of two strategies use the cells (sample, turn) that both answered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.bootstrap import Floats
from analysis.inference import Estimate, Inference, undefined
from analysis.panel import Panel
from analysis.records import Cost, Study
from analysis.statistic import ratio_of_means

__all__ = [
    "Costs",
    "Efficiency",
    "comparable",
    "costs",
    "efficiency",
    "mean_cost",
    "paired_front",
    "pareto_front",
]

Costs = Mapping[str, Floats]
"""Strategy -> mean cost over seeds of each cell on own history, shape (samples, turns, fields of `Cost`), NaN
if not answered.
"""

_SAME = 1e-9
_NEARLY_ALL = 0.9
_ANSWERED = ("scored", "unscored", "judge_error")


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """The gain per unit of extra cost over the baseline, on the cells that both strategies answered."""

    per_nfe: Estimate
    per_token: Estimate
    per_second: Estimate


def costs(study: Study, panel: Panel) -> Costs:
    """The costs of image turns on own history, by strategy."""
    row = {sample: index for index, sample in enumerate(panel.samples)}
    shape = (len(panel.samples), panel.num_turns, len(Cost._fields))
    sums: dict[str, Floats] = {strategy: np.zeros(shape) for strategy in panel.strategies}
    counts = {strategy: np.zeros(shape[:2]) for strategy in panel.strategies}
    for record in study.records:
        key = record.key
        if record.modality == "image" and key.history == "own" and record.outcome in _ANSWERED:
            cell = row[key.sample], key.turn - 1
            sums[key.strategy][cell] += record.cost
            counts[key.strategy][cell] += 1
    return {strategy: _over(total, counts[strategy][:, :, None]) for strategy, total in sums.items()}


def mean_cost(cells: Floats) -> dict[str, float]:
    """The mean cost over the cells, by field of `Cost`. NaN if the field is not recorded; empty if there are
    no cells.
    """
    answered = cells[~np.isnan(cells).all(axis=2)]
    return dict(zip(Cost._fields, answered.mean(axis=0).tolist(), strict=True)) if len(answered) else {}


def efficiency(gained: Floats, cells: Floats, baseline: Floats, inference: Inference) -> Efficiency:
    """The gain of a strategy divided by its extra cost over the baseline.

    Args:
        gained: the strategy's score minus the baseline's, shape (samples, turns).
        cells: costs of the strategy.
        baseline: costs of the baseline, same shape.
    """
    statistics = {
        f"per_{what}": ratio_of_means(gained, _extra(_total(cells, what), _total(baseline, what)))
        for what in ("nfe", "token", "second")
    }
    found = inference.estimates(statistics)
    return Efficiency(**{name: found[name] if found[name].is_defined else _no_price() for name in found})


def paired_front(scores: Mapping[str, Floats], cells: Costs, baseline: str | None) -> tuple[str, ...]:
    """The strategies on the Pareto front of score against NFE, on the cells that all compared strategies
    scored.

    Only strategies that are `comparable` with the baseline (or with the first strategy) are compared.
    """
    rivals = comparable(scores, baseline)
    known = np.isfinite(np.stack([scores[s] for s in rivals])).all(axis=0) if rivals else np.zeros(1, bool)
    if not known.any():
        return ()
    nfe = Cost._fields.index("nfe")
    points = {s: (float(cells[s][known, nfe].mean()), float(scores[s][known].mean())) for s in rivals}
    return pareto_front(points)


def comparable(scores: Mapping[str, Floats], baseline: str | None) -> Sequence[str]:
    """The strategies that have scores in at least 90 % of the dialogues scored by the baseline.

    Without a baseline, the first strategy takes its place.
    """
    if not scores:
        return ()
    reference = np.isfinite(scores.get(baseline or "", next(iter(scores.values())))).any(axis=1)
    shared = {s: np.isfinite(grid).any(axis=1) & reference for s, grid in scores.items()}
    return [s for s, rows in shared.items() if rows.sum() >= _NEARLY_ALL * reference.sum() > 0]


def pareto_front(points: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """Names of the (cost, score) points that no other point matches or beats in both, in order of cost."""
    known = {name: point for name, point in points.items() if all(map(math.isfinite, point))}
    front = (name for name in known if not _is_beaten(known[name], known.values()))
    return tuple(sorted(front, key=lambda name: known[name]))


def _is_beaten(point: tuple[float, float], others: Iterable[tuple[float, float]]) -> bool:
    return any(_differ(other, point) and _as_good(other, point) for other in others)


def _as_good(other: tuple[float, float], point: tuple[float, float]) -> bool:
    return other[0] <= point[0] * (1 + _SAME) and other[1] >= point[1] - _SAME


def _differ(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return not np.allclose(one, other, rtol=_SAME, atol=_SAME)


def _extra(cost: Floats, baseline: Floats) -> Floats:
    """The cost minus the baseline's cost; rounding errors of equal costs are set to 0."""
    extra = cost - baseline
    return np.where(np.abs(extra) > _SAME * np.abs(baseline), extra, extra * 0)


def _total(cells: Floats, what: str) -> Floats:
    """The cost of each cell in NFE, or in tokens or seconds of generator and judge; unknown judge costs count
    as 0.
    """
    if what == "nfe":
        return np.asarray(cells[:, :, Cost._fields.index("nfe")])
    judge = cells[:, :, Cost._fields.index(f"judge_{what}s")]
    return np.asarray(cells[:, :, Cost._fields.index(f"generator_{what}s")] + np.nan_to_num(judge))


def _no_price() -> Estimate:
    return undefined("its extra cost over the baseline is not clearly above 0, or is not recorded")


def _over(sums: Floats, counts: Floats) -> Floats:
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
