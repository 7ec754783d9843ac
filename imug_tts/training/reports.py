"""What a step of training gave, as plain numbers for the log and for trackers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imug_tts.training.distiller import Report

__all__ = ["summary_of"]


def summary_of(reports: Sequence[Report], weights: Mapping[str, float]) -> dict[str, Any]:
    """Means over the records that have a loss, to nine significant digits.

    The last bits of an inner product depend on where its tensors lie in memory. With fewer digits, the log of
    a resumed training is that of one that was never stopped.

    Args:
        reports: of the records of a step.
        weights: of the losses in that step.

    Returns:
        losses, weights, shares (of the weighted losses in their sum), gradient_norms, and angles in degrees
        between the gradients of each two losses: above 90 they are in conflict.
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
