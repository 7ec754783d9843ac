"""The estimands of each strategy, as `strategies` of analysis.json holds them."""

from __future__ import annotations

import numpy as np

from tests.analysis.recompute.fits import (
    Entry,
    Sums,
    adjust,
    by_influence,
    mean_entry,
    mean_sums,
    pooled_entry,
    share_entry,
    slope_entry,
    slope_sums,
    tested,
    undefined,
)
from tests.analysis.recompute.resamples import Resamples
from tests.analysis.recompute.stored import Floats, Grids

COMPARED = (
    "mean_gain", "slope_change", "eb_reduction", "eb_slope_reduction", "eb_reduction_ratio",
    "eb_reduction_logit",
)  # fmt: skip


class Scores:
    """The grids of one study that estimands are made of."""

    def __init__(self, grids: Grids) -> None:
        self.grids = grids

    def own(self, strategy: str) -> Floats:
        return self.grids.mean(strategy, "own")

    def gold(self, strategy: str) -> Floats:
        """Scores behind gold history from turn 2 on."""
        cells = self.grids.mean(strategy, "gold")
        cells[:, 0] = np.nan
        return cells

    def gold_with_first(self, strategy: str) -> Floats:
        """The same with the score of turn 1, which has no history, where later turns have gold."""
        cells, own = self.gold(strategy), self.own(strategy)
        cells[:, 0] = np.where(np.isfinite(cells).any(axis=1), own[:, 0], np.nan)
        return np.where(np.isfinite(own), cells, np.nan)

    def own_beside_gold(self, strategy: str) -> Floats:
        return np.where(np.isfinite(self.gold_with_first(strategy)), self.own(strategy), np.nan)

    def gap(self, strategy: str) -> Floats:
        return self.gold(strategy) - self.own(strategy)

    def gap_with_first(self, strategy: str) -> Floats:
        return self.gold_with_first(strategy) - self.own(strategy)

    def missing(self, cells: Floats, *histories: str) -> int:
        return int(np.count_nonzero(self.grids.image_design(*histories) & ~np.isfinite(cells)))


def estimands(scores: Scores, resamples: Resamples, baseline: str) -> dict[str, dict[str, Entry]]:
    """strategy -> estimand -> entry."""
    found = {s: _alone(scores, resamples, s) for s in scores.grids.stored.strategies}
    for strategy, entries in found.items():
        entries |= (
            dict.fromkeys(COMPARED, undefined())
            if strategy == baseline
            else _compared(scores, resamples, strategy, baseline)
        )
    for name in next(iter(found.values())):
        adjust([entries[name] for entries in found.values()], "holm")
    return found


def _alone(scores: Scores, resamples: Resamples, strategy: str) -> dict[str, Entry]:
    own, gap = scores.own(strategy), scores.gap(strategy)
    missing = scores.missing(own, "own")
    gap_missing = scores.missing(gap, "own", "gold")
    with_first, gap_first = scores.gold_with_first(strategy), scores.gap_with_first(strategy)
    level, slope = mean_sums(own), slope_sums(own)
    return {
        "mean": _drawn(share_entry(level), level, resamples, missing, is_percentile=True),
        "pooled_slope": pooled_entry(own) | {"n_missing": missing},
        "within_slope": _drawn(slope_entry(own), slope, resamples, missing),
        "within_slope_gold": _drawn(slope_entry(with_first), slope_sums(with_first), resamples),
        "eb": _drawn(mean_entry(gap), mean_sums(gap), resamples, gap_missing),
        "eb_slope": _drawn(slope_entry(gap_first), slope_sums(gap_first), resamples),
        "attributable_fraction": attributable(scores, resamples, strategy),
    }


def _compared(scores: Scores, resamples: Resamples, strategy: str, baseline: str) -> dict[str, Entry]:
    gained = scores.own(strategy) - scores.own(baseline)
    reduced = scores.gap(baseline) - scores.gap(strategy)
    with_first = scores.gap_with_first(baseline) - scores.gap_with_first(strategy)
    missing = scores.missing(gained, "own")
    gap_missing = scores.missing(reduced, "own", "gold")
    return {
        "mean_gain": _drawn(mean_entry(gained), mean_sums(gained), resamples, missing),
        "slope_change": _drawn(slope_entry(gained), slope_sums(gained), resamples, missing),
        "eb_reduction": _drawn(mean_entry(reduced), mean_sums(reduced), resamples, gap_missing),
        "eb_slope_reduction": _drawn(slope_entry(with_first), slope_sums(with_first), resamples),
        "eb_reduction_ratio": share_of_gap(scores, resamples, strategy, baseline),
        "eb_reduction_logit": logit_reduction(scores, resamples, strategy, baseline),
    }


def _drawn(
    entry: Entry, sums: Sums, resamples: Resamples, missing: int | None = None, *, is_percentile: bool = False
) -> Entry:
    """The entry with its bootstrap interval and its missing cells."""
    if entry["est"] is None or entry["se"] is None:
        drawn = None
    elif is_percentile:
        drawn = resamples.percentiles(sums)
    else:
        drawn = resamples.interval(sums, entry["se"])
    return entry | {"ci_bootstrap": drawn} | ({} if missing is None else {"n_missing": missing})


def attributable(scores: Scores, resamples: Resamples, strategy: str) -> Entry:
    """1 - slope behind gold / slope behind own history, both on the cells that have both."""
    gold, own = (
        slope_sums(cells) for cells in (scores.gold_with_first(strategy), scores.own_beside_gold(strategy))
    )

    def influence(w: Floats) -> Floats:
        by_gold, by_own = gold.value(w)[:, None], own.value(w)[:, None]
        return np.asarray(-gold.influence(w) / by_own + by_gold * own.influence(w) / by_own**2)

    both = Sums(lambda w: 1 - gold.value(w) / own.value(w), influence, own.units)
    decay = by_influence(own)
    return _guarded(both, resamples, divisor=-decay["est"], divisor_error=decay["se"])


def share_of_gap(scores: Scores, resamples: Resamples, strategy: str, baseline: str) -> Entry:
    """1 - the strategy's gap / the baseline's, on the cells that have both."""
    gap, reference = scores.gap(strategy), scores.gap(baseline)
    known = np.isfinite(gap) & np.isfinite(reference)
    above, below = (np.where(known, cells, 0).sum(axis=1) for cells in (gap, reference))

    def value(w: Floats) -> Floats:
        return np.asarray(1 - (w @ above) / (w @ below))

    def influence(w: Floats) -> Floats:
        share = (w @ above) / (w @ below)
        return np.asarray(-(above - share[:, None] * below) / (w @ below)[:, None])

    under = mean_entry(np.where(known, reference, np.nan))
    sums = Sums(value, influence, known.sum(axis=1).astype(float))
    return _guarded(sums, resamples, divisor=under["est"], divisor_error=under["se"])


def _guarded(sums: Sums, resamples: Resamples, divisor: float | None, divisor_error: float | None) -> Entry:
    """A ratio: its interval is the bootstrap's, and it is n/a where the divisor is not above 3 errors."""
    entry = by_influence(sums)
    if divisor is None or divisor_error is None or not divisor > max(1e-9, 3 * divisor_error):
        return undefined()
    drawn = resamples.percentiles(sums)
    return entry | {"ci": drawn, "ci_bootstrap": drawn}


def logit_reduction(scores: Scores, resamples: Resamples, strategy: str, baseline: str) -> Entry:
    """(logit gold - logit own) of the baseline less the strategy's, of the means of the common cells."""
    four = [scores.gold(baseline), scores.own(baseline), scores.gold(strategy), scores.own(strategy)]
    known = np.isfinite(np.stack(four)).all(axis=0)
    size = known.sum(axis=1).astype(float)
    totals = [np.where(known, cells, 0).sum(axis=1) for cells in four]
    means = list(zip((1, -1, -1, 1), totals, strict=True))

    def value(w: Floats) -> Floats:
        shares = [(sign, (w @ sums) / (w @ size)) for sign, sums in means]
        return np.asarray(sum(sign * np.log(share / (1 - share)) for sign, share in shares))

    def influence(w: Floats) -> Floats:
        whole = np.zeros((len(w), len(size)))
        for sign, sums in means:
            share = ((w @ sums) / (w @ size))[:, None]
            whole += sign * (sums - share * size) / ((w @ size)[:, None] * share * (1 - share))
        return whole

    sums = Sums(value, influence, size)
    plain = by_influence(sums)
    if not np.isfinite(plain["est"]):
        return undefined()
    entry = plain | tested(plain["est"], plain["se"], plain["n_samples"] - 1)
    return _drawn(entry, sums, resamples)
