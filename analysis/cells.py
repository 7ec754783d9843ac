"""Formats numbers for table cells: points (x 100), intervals, stars, and marks for missing values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.ablation import Ablation, Arm
from analysis.inference import Estimate
from analysis.phrases import fixed

__all__ = [
    "count_range",
    "difference",
    "display_name",
    "name_of",
    "named",
    "number",
    "percent",
    "plain",
    "points",
    "score",
    "starred",
]

_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


def score(estimate: Estimate) -> str:
    """A mean score in points, e.g. "82.1 [80.0, 84.2]"; "-" if there is no data, "n/a" if it is undefined."""
    if not estimate.is_defined:
        return "n/a" if estimate.num_units else "-"
    return f"{points(estimate)}{_interval(estimate)}"


def difference(estimate: Estimate, digits: int = 1) -> str:
    """A difference in points, e.g. "+3.0 [1.2, 4.8]"; "-" if it is undefined."""
    if not estimate.is_defined:
        return "-"
    return f"{fixed(100 * estimate.value, digits, sign=True)}{_interval(estimate, digits)}"


def starred(estimate: Estimate, digits: int = 1) -> str:
    """A difference in points, followed by stars for its adjusted p-value."""
    stars = next((stars for level, stars in _STARS if estimate.p_adjusted < level), "")
    return f"{difference(estimate, digits)}{stars}"


def percent(share: Estimate) -> str:
    """A share in percent, e.g. "50 [40, 60]"; "-" if it does not apply, "n/a" if its denominator is not
    clearly above 0.
    """
    if share.is_defined:
        return f"{fixed(100 * share.value, 0)}{_interval(share, 0)}"
    return "n/a" if share.num_units else "-"


def points(estimate: Estimate) -> str:
    """A mean score in points without its interval, e.g. "82.1"."""
    return number(100 * estimate.value, 1)


def number(value: float, digits: int) -> str:
    """A number with fixed decimals; "-" if it is not finite."""
    return fixed(value, digits) if math.isfinite(value) else "-"


def count_range(counts: Sequence[int]) -> str:
    """A range of counts, e.g. "300" or "290 to 300"."""
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def display_name(strategy: str, is_oracle: bool) -> str:
    """The name of a strategy in tables and figures; oracle arms are marked."""
    return f"{strategy} (oracle)" if is_oracle else strategy


def named(result: Ablation, strategy: str) -> str:
    """The display name of one of the result's strategies."""
    return next(name_of(arm) for arm in result.arms if arm.strategy == strategy)


def name_of(arm: Arm) -> str:
    """The display name of an arm."""
    return display_name(arm.strategy, arm.oracle)


def plain(estimate: Estimate) -> str:
    """An estimate with its interval, unscaled, e.g. "0.81 [0.75, 0.87]"."""
    interval = (
        f" [{fixed(estimate.low, 2)}, {fixed(estimate.high, 2)}]" if math.isfinite(estimate.low) else ""
    )
    return f"{number(estimate.value, 2)}{interval}"


def _interval(estimate: Estimate, digits: int = 1) -> str:
    if not math.isfinite(estimate.low):
        return ""
    ends = (_end(100 * end, digits) for end in (estimate.low, estimate.high))
    return f" [{', '.join(ends)}]"


def _end(value: float, digits: int) -> str:
    """One end of an interval, with one more decimal if it would otherwise be printed as an exact 0."""
    shown = fixed(value, digits)
    return fixed(value, digits + 1) if float(shown) == 0 and abs(value) > 1e-9 else shown
