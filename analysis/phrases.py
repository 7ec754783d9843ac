"""Format numbers inside sentences: fixed decimals, points with intervals, shares, detectable effects."""

from __future__ import annotations

import math

from analysis.inference import LEVEL, Estimate

__all__ = ["adjusted", "detectable", "fixed", "logits", "percent", "points", "usable_share"]


def points(estimate: Estimate, *, absolute: bool = False, unit: str = " points") -> str:
    """A value in points, e.g. "3.0 points [1.2, 4.8]". `absolute` drops the sign, for sentences whose verb
    states it.
    """
    sign = -1 if absolute and estimate.value < 0 else 1
    ends = sorted(sign * end for end in (estimate.low, estimate.high))
    interval = f" [{fixed(100 * ends[0], 1)}, {fixed(100 * ends[1], 1)}]" if math.isfinite(ends[0]) else ""
    return f"{fixed(100 * sign * estimate.value, 1)}{unit}{interval}"


def detectable(estimate: Estimate) -> str:
    """The end of a sentence on an effect that is not shown: `adjusted`, and the minimum detectable effect (80
    % power).
    """
    if not math.isfinite(estimate.detectable):
        return "; no test is possible"
    return f"{adjusted(estimate)}; the MDE was {100 * estimate.detectable:.1f} points"


def adjusted(estimate: Estimate) -> str:
    """The adjusted p-value, e.g. "; p = 0.081 after adjustment", if it is 0.05 or more although the interval,
    which is not adjusted, leaves out 0; else an empty text.
    """
    is_beside_zero = estimate.low > 0 or estimate.high < 0
    if not (is_beside_zero and estimate.p_adjusted >= LEVEL):
        return ""
    return f"; p = {estimate.p_adjusted:.3f} after adjustment"


def percent(share: Estimate) -> str:
    """A share in percent, e.g. "60 % [50, 70]"."""
    interval = f" [{100 * share.low:.0f}, {100 * share.high:.0f}]" if math.isfinite(share.low) else ""
    return f"{100 * share.value:.0f} %{interval}"


def logits(estimate: Estimate) -> str:
    """A value on the logit scale, e.g. "0.31 [0.12, 0.50]"."""
    interval = (
        f" [{fixed(estimate.low, 2)}, {fixed(estimate.high, 2)}]" if math.isfinite(estimate.low) else ""
    )
    return f"{fixed(estimate.value, 2)}{interval}"


def usable_share(share: Estimate) -> bool:
    """Whether the estimate can be stated as a share: its interval lies within 0 to 100 %."""
    return share.is_defined and share.low >= 0 and share.high <= 1


def fixed(value: float, digits: int, *, sign: bool = False) -> str:
    """Return a number with fixed decimals; a rounded zero has no minus. With `sign`, it always has a sign."""
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}"
