"""What strategies cost, what each unit of it buys, and which of them no other beats at its price."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.inference import Estimate, undefined
from analysis.records import Cost, Study

__all__ = ["Efficiency", "costs", "efficiency", "pareto_front"]


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Gain per unit of cost beyond the baseline's; costs are taken as known."""

    per_nfe: Estimate
    per_token: Estimate
    per_second: Estimate


def costs(study: Study) -> dict[str, dict[str, float]]:
    """strategy -> mean cost of an image turn behind own history; NaN where it is not recorded."""
    found: dict[str, list[Cost]] = {}
    for record in study.records:
        if record.modality == "image" and record.key.history == "own":
            found.setdefault(record.key.strategy, []).append(record.cost)
    means = {strategy: np.mean(rows, axis=0).tolist() for strategy, rows in found.items()}
    return {strategy: dict(zip(Cost._fields, row, strict=True)) for strategy, row in means.items()}


def efficiency(gain: Estimate, cost: Mapping[str, float], baseline: Mapping[str, float]) -> Efficiency:
    """The gain of a strategy over what it costs beyond the baseline."""
    tokens, seconds = (_both(cost, what) - _both(baseline, what) for what in ("tokens", "seconds"))
    return Efficiency(
        per_nfe=_per(gain, cost["nfe"] - baseline["nfe"]),
        per_token=_per(gain, tokens),
        per_second=_per(gain, seconds),
    )


def pareto_front(points: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """Names of the (cost, score) points that no other matches or beats in both, by rising cost."""
    known = {name: point for name, point in points.items() if all(map(math.isfinite, point))}
    front = (name for name in known if not _is_beaten(known[name], known.values()))
    return tuple(sorted(front, key=lambda name: known[name]))


def _is_beaten(point: tuple[float, float], others: Iterable[tuple[float, float]]) -> bool:
    return any(other != point and other[0] <= point[0] and other[1] >= point[1] for other in others)


def _both(cost: Mapping[str, float], what: str) -> float:
    """The generator's and, where it is known, the judge's."""
    judge = cost[f"judge_{what}"]
    return cost[f"generator_{what}"] + (judge if math.isfinite(judge) else 0.0)


def _per(gain: Estimate, extra: float) -> Estimate:
    if not gain.is_defined or not extra > 0:
        return undefined("costs no more than the baseline, or the cost is not known")
    low, high = gain.low / extra, gain.high / extra
    value, error = gain.value / extra, gain.standard_error / extra
    return replace(
        undefined(""),
        value=value,
        standard_error=error,
        low=low,
        high=high,
        p=gain.p,
        num_samples=gain.num_samples,
        num_units=gain.num_units,
        num_missing=gain.num_missing,
    )
