"""Intervals of judge measures that stay valid near their bounds.

Percentile intervals of an AUC near 1, or of a judge that misses the best candidate once, are far too short at
a few dozen dialogues: resamples without the one error do not vary at all.
"""

from __future__ import annotations

import math
from dataclasses import replace

from analysis.inference import Estimate, bounded

__all__ = ["auc_interval", "share_interval"]


def auc_interval(estimate: Estimate, num_clusters: int) -> Estimate:
    """An AUC with an interval inside [0, 1] that is symmetric on the logit scale (Pepe 2003, section 5.2.5).

    Args:
        num_clusters: clusters of the rarer kind of image (perfect or not). For an AUC of exactly 0 or 1 the
            interval is that of as many trials.
    """
    value, error = estimate.value, estimate.standard_error
    if num_clusters < 2 or not 0 < value < 1 or not error > 0:
        return _undrawn(estimate) if num_clusters < 2 else bounded(estimate, num_clusters)
    reach = _quantile(num_clusters) * error / (value * (1 - value))
    logit = math.log(value / (1 - value))
    return replace(estimate, low=_chance(logit - reach), high=_chance(logit + reach))


def share_interval(estimate: Estimate, num_clusters: int) -> Estimate:
    """A share (arm - random) / (best - random), at most 1 and possibly below 0, with its interval.

    The missed part, 1 - share, is a rate: it is never below 0, and varies less the smaller it is. Its
    interval is the score interval of a Poisson rate, scaled to the cluster-robust variance. If nothing is
    missed, each cluster counts as one unit of exposure.
    """
    if not estimate.is_defined or not math.isfinite(estimate.standard_error) or num_clusters < 2:
        return _undrawn(estimate)
    missed = max(0.0, 1 - estimate.value)
    unit = estimate.standard_error**2 / missed if missed > 0 else 1 / num_clusters
    middle = missed + _quantile(num_clusters) ** 2 * unit / 2
    reach = math.sqrt(max(0.0, middle**2 - missed**2))
    return replace(estimate, low=1 - middle - reach, high=1 - middle + reach)


def _undrawn(estimate: Estimate) -> Estimate:
    nan = float("nan")
    return replace(estimate, low=nan, high=nan, bootstrap_low=nan, bootstrap_high=nan)


def _quantile(num_clusters: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(num_clusters - 1, 0.975))


def _chance(logit: float) -> float:
    from scipy.special import expit

    return float(expit(logit))
