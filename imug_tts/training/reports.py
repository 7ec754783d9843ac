"""The summary of a training step as plain numbers, for the log and for trackers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imug_tts.training.distiller import Report

__all__ = ["summary_of"]


def summary_of(reports: Sequence[Report], weights: Mapping[str, float]) -> dict[str, Any]:
    """Average the reports of a step's records, to nine significant digits; a loss is averaged over the
    records that have it.

    The last bits of an inner product depend on where its tensors lie in memory. Rounding makes the log of a
    resumed training equal to the log of one that was not stopped.

    Args:
        reports: the reports of the records of a step.
        weights: the weight of each loss in that step.

    Returns:
        losses, weights, shares (each weighted loss over the sum of all), gradient_norms, and angles in
        degrees between the gradients of each pair of losses; above 90 the pair is in conflict.
    """
    shares = [_shares(report.weighted) for report in reports]
    angles = [
        {" / ".join(pair): math.degrees(math.acos(max(-1.0, min(1.0, one)))) for pair, one in own.items()}
        for own in (report.cosines for report in reports)
    ]
    return {
        "losses": _means(report.losses for report in reports),
        "weights": dict(weights),
        "shares": _means(shares),
        "gradient_norms": _means(report.norms for report in reports),
        "angles": _means(angles),
    }


def _shares(weighted: Mapping[str, float]) -> dict[str, float]:
    total = math.fsum(weighted.values())
    return {name: value / total if total else 0.0 for name, value in weighted.items()}


def _means(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    by_name: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            by_name[name].append(value)
    return {name: float(f"{math.fsum(values) / len(values):.9g}") for name, values in by_name.items()}
