"""From statistics to estimates: CR1 standard errors, t and bootstrap intervals, tests, detectable effects.

The primary inference is CR1 by cluster with t(G-1) (Cameron and Miller 2015). The bootstrap checks it, and is
the only interval of ratios. Means of scores and shares have Wilson intervals with the same standard errors. A
result from one cluster is undefined, never exact.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Bootstrap, Floats
from analysis.statistic import Statistic

__all__ = ["LEVEL", "MARGIN", "Estimate", "Inference", "benjamini_hochberg", "bounded", "holm", "undefined"]

LEVEL = 0.05
"""An effect is shown if its adjusted p-value is below this level."""
MARGIN = 0.02
"""Equivalence margin of TOST, in score units: smaller differences count as equivalent."""
FEW_SAMPLES = 200
_ZERO = 1e-9
_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its 95 % interval, standard error and tests; NaN if undefined."""

    value: float
    standard_error: float = _NAN
    low: float = _NAN
    high: float = _NAN
    bootstrap_low: float = _NAN
    bootstrap_high: float = _NAN
    p: float = _NAN
    """Two-sided p-value against 0."""
    p_adjusted: float = _NAN
    """Holm-adjusted p-value over the strategies of the same estimand."""
    p_equivalence: float = _NAN
    """p-value of TOST: small if the value lies within +- MARGIN."""
    detectable: float = _NAN
    """Minimum detectable effect: the effect that a two-sided 5 % test finds with 80 % power."""
    num_samples: int = 0
    """Number of samples that contribute."""
    num_units: int = 0
    """Number of cells (sample, turn), or of candidates, that contribute."""
    num_clusters: int = 0
    """Number of clusters that contribute."""
    num_missing: int = 0
    """Number of planned turns, over all seeds, whose needed score is missing."""
    num_planned: int = 0
    """Number of planned turns, over all seeds; 0 if unknown."""
    reason: str = ""
    """The reason why there is no value; empty if there is one."""

    @property
    def is_defined(self) -> bool:
        return math.isfinite(self.value)

    @property
    def is_shown(self) -> bool:
        """Whether the value differs significantly from 0, after adjustment."""
        return self.p_adjusted < LEVEL

    @property
    def share_missing(self) -> float:
        """The share of the planned turns whose score is missing; 0 if their number is unknown."""
        return self.num_missing / self.num_planned if self.num_planned else 0.0

    def to_json(self) -> dict[str, float | int | str | list[float] | None]:
        """The estimate as an object of analysis.json; undefined numbers are null."""
        has_interval, has_draws = math.isfinite(self.low), math.isfinite(self.bootstrap_low)
        return {
            "est": _known(self.value),
            "se": _known(self.standard_error),
            "ci": [self.low, self.high] if has_interval else None,
            "ci_bootstrap": [self.bootstrap_low, self.bootstrap_high] if has_draws else None,
            "p": _known(self.p),
            "p_adjusted": _known(self.p_adjusted),
            "p_equivalence": _known(self.p_equivalence),
            "mde": _known(self.detectable),
            "n_samples": self.num_samples,
            "n_units": self.num_units,
            "n_clusters": self.num_clusters,
            "n_missing": self.num_missing,
            "n_planned": self.num_planned,
        } | ({"reason": self.reason} if self.reason else {})


class Resampled(Protocol):
    """A statistic that is not a function of sums over clusters and computes its own bootstrap draws."""

    @property
    def value(self) -> float: ...
    @property
    def influence(self) -> Floats: ...
    @property
    def units(self) -> Floats: ...
    def draws(self, inference: Inference) -> Floats: ...


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Computes estimates on one set of clusters. `clusters` gives the cluster of each sample, from 0."""

    clusters: npt.NDArray[np.int64] = field(repr=False)
    bootstrap: Bootstrap

    def estimates(self, statistics: Mapping[str, Statistic]) -> dict[str, Estimate]:
        """One estimate for each statistic, from a single pass over the resamples."""
        if not statistics:
            return {}
        sums = {name: self.by_cluster(s.columns) for name, s in statistics.items()}
        blocks = [np.hstack([sums[n], self._products(s, sums[n])]) for n, s in statistics.items()]
        totals = self.bootstrap.totals(np.hstack(blocks))
        ends = np.cumsum([block.shape[1] for block in blocks])[:-1]
        pieces = np.split(totals, ends, axis=1)
        return {
            name: self._estimate(statistic, piece)
            for (name, statistic), piece in zip(statistics.items(), pieces, strict=True)
        }

    def closed_form(self, statistic: Statistic) -> Estimate:
        """The estimate of a statistic without a bootstrap interval."""
        error, degrees = self.standard_error(statistic)
        bare = Estimate(
            value=_NAN,
            num_samples=statistic.num_samples,
            num_units=statistic.num_units,
            num_clusters=degrees + 1,
            num_missing=statistic.num_missing,
            num_planned=statistic.num_planned,
        )
        if not math.isfinite(statistic.value):
            return replace(bare, reason="there are no cells, or nothing varies")
        if not self._may_divide(statistic):
            return replace(bare, reason="its denominator is not above three times its standard error")
        known = replace(bare, value=statistic.value, standard_error=error)
        if statistic.is_bounded:
            return bounded(known, degrees + 1)
        return known if statistic.is_ratio else _with_tests(known, degrees)

    def resampled(self, statistic: Resampled) -> Estimate:
        """The estimate of a statistic that computes its own draws, with their percentile interval."""
        error = self._cluster_error(statistic.influence, statistic.units, 1)
        low, high = _percentiles(statistic.draws(self)) if math.isfinite(error) else (_NAN, _NAN)
        units = statistic.units
        return Estimate(
            value=statistic.value,
            standard_error=error,
            low=low,
            high=high,
            bootstrap_low=low,
            bootstrap_high=high,
            num_samples=int(np.count_nonzero(units)),
            num_units=int(units.sum()),
            num_clusters=int(np.count_nonzero(self.by_cluster(units))),
        )

    def standard_error(self, statistic: Statistic) -> tuple[float, int]:
        """The CR1 standard error of a statistic and its degrees of freedom (clusters minus 1)."""
        error = self._cluster_error(statistic.influence, statistic.units, statistic.num_parameters)
        return error, int(np.count_nonzero(self.by_cluster(statistic.units))) - 1

    def by_cluster(self, columns: Floats) -> Floats:
        """Sums over the samples of each cluster; the first axis changes from samples to clusters."""
        if self._is_one_to_one:
            return columns
        sums = np.zeros((len(self.bootstrap.strata), *columns.shape[1:]))
        np.add.at(sums, self.clusters, columns)
        return sums

    @cached_property
    def _is_one_to_one(self) -> bool:
        return np.array_equal(self.clusters, np.arange(len(self.bootstrap.strata)))

    def _may_divide(self, statistic: Statistic) -> bool:
        below = statistic.must_exceed_zero
        if below is None:
            return True
        error, _ = self.standard_error(below)
        if not math.isfinite(error):  # the spread of one cluster is unknown
            return False
        # the floor keeps rounding noise around an exact 0 from passing with a standard error of 0
        return below.value > max(_ZERO, 3 * error)

    def _cluster_error(self, influence: Floats, units: Floats, num_parameters: int) -> float:
        num_clusters = np.count_nonzero(self.by_cluster(units))
        num_units = units.sum()
        if num_clusters < 2 or num_units <= num_parameters or not np.isfinite(influence).all():
            return _NAN
        total = float(np.sum(self.by_cluster(influence) ** 2)) * num_clusters / (num_clusters - 1)
        if num_parameters > 1:
            total *= (num_units - 1) / (num_units - num_parameters)
        error = math.sqrt(total)
        return error if error > _ZERO else 0.0

    def _is_studentised(self, statistic: Statistic) -> bool:
        is_percentile = statistic.is_ratio or statistic.is_bounded
        return not is_percentile and len(self.bootstrap.strata) < FEW_SAMPLES

    def _products(self, statistic: Statistic, sums: Floats) -> Floats:
        """Products of columns by cluster; their totals give the standard error of each resample."""
        if not self._is_studentised(statistic):
            return np.empty((len(sums), 0))
        return (sums[:, :, None] * sums[:, None, :]).reshape(len(sums), -1)

    def _estimate(self, statistic: Statistic, totals: Floats) -> Estimate:
        estimate = self.closed_form(statistic)
        num_clusters = np.count_nonzero(self.by_cluster(statistic.units))
        if not math.isfinite(estimate.standard_error) or not self._is_drawn(statistic):
            return estimate
        size = statistic.columns.shape[1]
        low, high = _percentiles(statistic.at(totals[:, :size]))
        if self._is_studentised(statistic) and estimate.standard_error > 0:
            products = totals[:, size:].reshape(-1, size, size)
            correction = math.sqrt(num_clusters / (num_clusters - 1))
            studentised = _studentised(estimate, statistic, totals[:, :size], products, correction)
            low, high = studentised or (low, high)
        drawn = replace(estimate, bootstrap_low=low, bootstrap_high=high)
        return replace(drawn, low=low, high=high) if statistic.is_ratio else drawn

    def _is_drawn(self, statistic: Statistic) -> bool:
        """Whether at least two contributing clusters vary in the bootstrap; the spread of one cluster is
        unknown.
        """
        return bool(np.count_nonzero(self.by_cluster(statistic.units)[self._is_free]) > 1)

    @cached_property
    def _is_free(self) -> npt.NDArray[np.bool_]:
        """For each cluster, whether its stratum has other clusters, so that it varies in the bootstrap."""
        sizes = Counter(self.bootstrap.strata)
        return np.array([sizes[stratum] > 1 for stratum in self.bootstrap.strata])


def bounded(estimate: Estimate, num_clusters: int) -> Estimate:
    """The estimate of a mean score, a share or an AUC, with a 95 % interval inside [0, 1].

    This is Wilson's interval (1927) with the effective number of trials of a cluster-robust standard error:
    for value m and standard error s, m (1 - m) / s^2 trials (Korn and Graubard 1998), and the quantile of
    t(num_clusters - 1). If nothing varies, the number of trials is the number of clusters, so that 3
    dialogues that all score 1 do not prove 1. One cluster has no interval.
    """
    error, m = estimate.standard_error, min(1.0, max(0.0, estimate.value))
    if not math.isfinite(error):
        return estimate
    from scipy.special import stdtrit

    num_trials = m * (1 - m) / error**2 if error > 0 and 0 < m < 1 else num_clusters
    weight = float(stdtrit(num_clusters - 1, 0.975)) ** 2 / num_trials
    center = (m + weight / 2) / (1 + weight)
    reach = math.sqrt(weight * m * (1 - m) + weight**2 / 4) / (1 + weight)
    return replace(estimate, low=max(0.0, center - reach), high=min(1.0, center + reach))


def undefined(reason: str, num_missing: int = 0) -> Estimate:
    """An estimate without a value, with the reason."""
    return Estimate(value=_NAN, reason=reason, num_missing=num_missing)


def holm(estimates: Sequence[Estimate]) -> list[Estimate]:
    """The estimates with Holm-adjusted p-values (Holm 1979); undefined estimates do not count."""
    order = _by_p(estimates)
    factors = range(len(order), 0, -1)
    raw = [min(1.0, factor * estimates[i].p) for factor, i in zip(factors, order, strict=True)]
    return _adjusted(estimates, order, np.maximum.accumulate(raw) if raw else raw)


def benjamini_hochberg(estimates: Sequence[Estimate]) -> list[Estimate]:
    """The estimates with p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995)."""
    order = _by_p(estimates)
    raw = [min(1.0, estimates[i].p * len(order) / rank) for rank, i in enumerate(order, 1)]
    return _adjusted(estimates, order, np.minimum.accumulate(raw[::-1])[::-1] if raw else raw)


def _with_tests(estimate: Estimate, degrees: int) -> Estimate:
    error, value = estimate.standard_error, estimate.value
    if not math.isfinite(error):
        return estimate
    if error == 0:
        # exact data: the interval is the value, and 0/0 is no evidence
        return replace(estimate, low=value, high=value)
    from scipy.special import stdtr, stdtrit

    reach = float(stdtrit(degrees, 0.975))
    return replace(
        estimate,
        low=value - reach * error,
        high=value + reach * error,
        p=max(2 * float(stdtr(degrees, -abs(value) / error)), sys.float_info.min),
        p_equivalence=float(stdtr(degrees, (abs(value) - MARGIN) / error)),
        detectable=(reach + float(stdtrit(degrees, 0.8))) * error,
    )


def _percentiles(draws: Floats) -> tuple[float, float]:
    known = draws[np.isfinite(draws)]
    if known.size < 2:
        return _NAN, _NAN
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)


def _studentised(
    estimate: Estimate, statistic: Statistic, totals: Floats, products: Floats, correction: float
) -> tuple[float, float] | None:
    """The bootstrap-t interval; None if half of the resamples have a standard error of 0."""
    slopes = statistic.gradient(totals)
    with np.errstate(invalid="ignore"):
        errors = correction * np.sqrt(np.einsum("bi,bij,bj->b", slopes, products, slopes).clip(0))
    usable = errors > _ZERO
    if usable.mean() <= 0.5:
        return None
    low, high = _percentiles((statistic.at(totals)[usable] - estimate.value) / errors[usable])
    return estimate.value - high * estimate.standard_error, estimate.value - low * estimate.standard_error


def _by_p(estimates: Sequence[Estimate]) -> list[int]:
    return sorted((i for i, e in enumerate(estimates) if math.isfinite(e.p)), key=lambda i: estimates[i].p)


def _adjusted(estimates: Sequence[Estimate], order: Iterable[int], p: Iterable[float]) -> list[Estimate]:
    adjusted = list(estimates)
    for index, value in zip(order, p, strict=True):
        adjusted[index] = replace(adjusted[index], p_adjusted=float(value))
    return adjusted


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
