"""The estimands of each strategy, as `strategies` of analysis.json holds them."""

from __future__ import annotations

import numpy as np

from tests.analysis.recompute.fits import (
    Entry,
    Sums,
    adjust,
    by_influence,
    empty,
    mean_entry,
    mean_sums,
    pooled_entry,
    pooled_sums,
    ratio,
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
    "eb_step_reduction", "eb_reduction_logit",
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

    def step_gap(self, strategy: str) -> Floats:
        gold = self.grids.mean(strategy, "gold", what="step")
        gold[:, 0] = np.nan
        return gold - self.grids.mean(strategy, "own", what="step")

    def losses(self, *arms: tuple[str, str], what: str = "score", with_first: bool = False) -> Entry:
        """Turns that all of the arms (strategy, history) are meant to have, and those that one lacks."""
        cells = self.grids.image_design(*(history for _, history in arms))
        if with_first:
            cells[:, 0] = self.grids.image_design("own")[:, 0] & cells[:, 1:].any(axis=1)
        pairs = [self._planned_and_scored(*arm, what, with_first=with_first) for arm in arms]
        missing = np.max([planned - scored for planned, scored in pairs], axis=0)
        whole = np.max([planned for planned, _ in pairs], axis=0)
        return {"n_missing": int(missing[cells].sum()), "n_planned": int(whole[cells].sum())}

    def _planned_and_scored(
        self, strategy: str, history: str, what: str, *, with_first: bool
    ) -> tuple[Floats, Floats]:
        planned = self.grids.counts(strategy, history, "image")
        _, scored = self.grids.scored(strategy, history, "image", what)
        if with_first:
            planned[:, 0] = self.grids.counts(strategy, "own", "image")[:, 0]
            scored[:, 0] = self.grids.scored(strategy, "own", "image", what)[1][:, 0]
        return np.maximum(planned, 1), scored


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
    on_own, on_gold = (strategy, "own"), (strategy, "gold")
    lost, on_both = scores.losses(on_own), scores.losses(on_own, on_gold, with_first=True)
    gold, gap_first = scores.gold_with_first(strategy), scores.gap_with_first(strategy)
    level = mean_sums(own)
    gold_lost = scores.losses(on_gold, with_first=True)
    return {
        "mean": share_entry(level) | lost | {"ci_bootstrap": resamples.percentiles(level)},
        "pooled_slope": pooled_entry(own) | lost,
        "within_slope": _drawn(slope_entry(own), slope_sums(own), resamples) | lost,
        "slope_composition": slope_composition(own, resamples) | lost,
        "within_slope_gold": _drawn(slope_entry(gold), slope_sums(gold), resamples) | gold_lost,
        "eb": _drawn(mean_entry(gap), mean_sums(gap), resamples) | scores.losses(on_own, on_gold),
        "eb_slope": _drawn(slope_entry(gap_first), slope_sums(gap_first), resamples) | on_both,
        "attributable_fraction": attributable(scores, resamples, strategy) | on_both,
        **_steps(scores, resamples, strategy),
    }


def _steps(scores: Scores, resamples: Resamples, strategy: str) -> dict[str, Entry]:
    """What the gap is made of, on the cells that have the gap and that of the step score."""
    whole, step = scores.gap(strategy), scores.step_gap(strategy)
    step = np.where(np.isfinite(whole), step, np.nan)
    lost = scores.losses((strategy, "own"), (strategy, "gold"), what="step")
    return {
        "eb_step": _drawn(mean_entry(step), mean_sums(step), resamples) | lost,
        "eb_inherited": _drawn(mean_entry(whole - step), mean_sums(whole - step), resamples) | lost,
        "eb_step_share": ratio_of_means(step, whole, resamples) | lost,
    }


def _compared(scores: Scores, resamples: Resamples, strategy: str, baseline: str) -> dict[str, Entry]:
    gained = scores.own(strategy) - scores.own(baseline)
    reduced = scores.gap(baseline) - scores.gap(strategy)
    with_first = scores.gap_with_first(baseline) - scores.gap_with_first(strategy)
    steps = scores.step_gap(baseline) - scores.step_gap(strategy)
    on_own = [(s, "own") for s in (strategy, baseline)]
    on_all = [*on_own, *((s, "gold") for s in (strategy, baseline))]
    lost, gap_lost = scores.losses(*on_own), scores.losses(*on_all)
    first_lost = scores.losses(*on_all, with_first=True)
    rest = ratio_of_means(scores.gap(strategy), scores.gap(baseline), resamples, is_rest=True)
    return {
        "mean_gain": _drawn(mean_entry(gained), mean_sums(gained), resamples) | lost,
        "slope_change": _drawn(slope_entry(gained), slope_sums(gained), resamples) | lost,
        "eb_reduction": _drawn(mean_entry(reduced), mean_sums(reduced), resamples) | gap_lost,
        "eb_slope_reduction": _drawn(slope_entry(with_first), slope_sums(with_first), resamples) | first_lost,
        "eb_reduction_ratio": rest | gap_lost,
        "eb_step_reduction": _drawn(mean_entry(steps), mean_sums(steps), resamples)
        | scores.losses(*on_all, what="step"),
        "eb_reduction_logit": logit_reduction(scores, resamples, strategy, baseline) | gap_lost,
    }


def _drawn(entry: Entry, sums: Sums, resamples: Resamples) -> Entry:
    """The entry with its bootstrap interval."""
    is_known = entry["est"] is not None and entry["se"] is not None
    return entry | {"ci_bootstrap": resamples.interval(sums, entry["se"]) if is_known else None}


def slope_composition(own: Floats, resamples: Resamples) -> Entry:
    """The pooled slope less that within samples, with the degrees of freedom of the former."""
    pooled, within = pooled_sums(own), slope_sums(own)
    apart = Sums(
        lambda w: pooled.value(w) - within.value(w),
        lambda w: pooled.influence(w) - within.influence(w),
        pooled.units,
    )
    plain, size = by_influence(apart), pooled.units.sum()
    if plain["se"] is None:
        return plain
    error = plain["se"] * np.sqrt((size - 1) / (size - 2))
    return _drawn(plain | tested(plain["est"], error, plain["n_samples"] - 1), apart, resamples)


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


def ratio_of_means(above: Floats, below: Floats, resamples: Resamples, *, is_rest: bool = False) -> Entry:
    """Mean of `above` / mean of `below` on the cells that have both; one less that where `is_rest`."""
    known = np.isfinite(above) & np.isfinite(below)
    first, second = (np.where(known, cells, 0).sum(axis=1) for cells in (above, below))
    share = ratio(first, second, known.sum(axis=1).astype(float))
    rest = Sums(lambda w: 1 - share.value(w), lambda w: -share.influence(w), share.units)
    under = mean_entry(np.where(known, below, np.nan))
    sums = rest if is_rest else share
    return _guarded(sums, resamples, divisor=under["est"], divisor_error=under["se"])


def _guarded(sums: Sums, resamples: Resamples, divisor: float | None, divisor_error: float | None) -> Entry:
    """A ratio: its interval is the bootstrap's, and it is n/a where the divisor is not above 3 errors."""
    used = int(np.count_nonzero(sums.units))
    counts = {"n_samples": used, "n_units": int(sums.units.sum())}
    if divisor is None or divisor_error is None or not divisor > max(1e-9, 3 * divisor_error):
        return empty() | {"est": None} | counts
    drawn = resamples.percentiles(sums)
    return by_influence(sums) | {"ci": drawn, "ci_bootstrap": drawn}


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
