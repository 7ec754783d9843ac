"""The named quantities of one strategy, each as a statistic on the cells (sample, turn) that it needs.

Image turns only; seeds are averaged within a cell first, and every cell has equal weight. What compares two
arms takes the cells that both have. docs/statistics.md defines each with its formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from analysis.agreement import corrected_mean
from analysis.bootstrap import Floats
from analysis.inference import Estimate, Inference, holm, undefined
from analysis.names import swapped
from analysis.panel import Panel
from analysis.statistic import (
    Statistic,
    attributable_fraction,
    level,
    logit_reduction,
    mean,
    pooled_slope,
    relative_reduction,
    within_slope,
)

__all__ = ["COMPARED", "ESTIMANDS", "estimates", "gap"]

ESTIMANDS = {
    "mean": "image score",
    "mean_gain": "gain over the baseline",
    "pooled_slope": "slope over turns, pooled (descriptive)",
    "within_slope": "slope over turns within dialogues, own history",
    "within_slope_gold": "slope over turns within dialogues, gold history",
    "slope_change": "slope less the baseline's, own history",
    "eb": "exposure gap: gold less own history",
    "eb_slope": "growth of the exposure gap per turn",
    "eb_reduction": "exposure gap of the baseline less the strategy's",
    "eb_slope_reduction": "growth of the gap per turn, the baseline's less the strategy's",
    "eb_reduction_ratio": "share of the baseline's exposure gap that is gone",
    "eb_reduction_logit": "reduction of the exposure gap on the logit scale",
    "attributable_fraction": "share of the decay that own history causes",
    "history_gain": "the baseline's score on the strategy's history less that on its own",
    "human_mean": "image score of human raters (PPI++)",
    "human_gain": "gain over the baseline by human raters (PPI++)",
}
"""Every estimand of a strategy, in reading order, with what it is."""
COMPARED = {
    "mean_gain", "slope_change", "eb_reduction", "eb_slope_reduction", "eb_reduction_ratio",
    "eb_reduction_logit", "history_gain", "human_gain",
}  # fmt: skip
"""Those that need a baseline."""
_UNTESTED = {"mean", "human_mean"}
"""Levels: a test against 0 means nothing."""
_NAN = float("nan")


def estimates(panel: Panel, inference: Inference, baseline: str | None) -> dict[str, dict[str, Estimate]]:
    """strategy -> estimand -> estimate, with p-values adjusted (Holm) over the strategies of an estimand.

    Oracle arms are a family of their own: they are bounds, not claims.
    """
    found = {s: _of_strategy(panel, inference, s, baseline) for s in panel.strategies}
    oracles = [s for s in panel.strategies if s in panel.oracles]
    others = [s for s in panel.strategies if s not in panel.oracles]
    for name in ESTIMANDS:
        for family in (others, oracles):
            for strategy, estimate in zip(family, holm([found[s][name] for s in family]), strict=True):
                found[strategy][name] = estimate
    return found


def gap(panel: Panel, strategy: str) -> Floats:
    """Gold less own score of image turns t >= 2, shape (samples, turns), NaN where not both scored."""
    return panel.behind(strategy, "gold") - panel.scores(strategy)


def _of_strategy(
    panel: Panel, inference: Inference, strategy: str, baseline: str | None
) -> dict[str, Estimate]:
    statistics = dict(_alone(panel, strategy))
    why = _not_compared(panel, strategy, baseline)
    if baseline is not None and not why:
        statistics |= _compared(panel, strategy, baseline)
    known = inference.estimates(statistics)
    named = {name: known.get(name) or undefined(why) for name in ESTIMANDS}
    return {name: _without_test(e) if name in _UNTESTED else e for name, e in named.items()}


def _alone(panel: Panel, strategy: str) -> Mapping[str, Statistic]:
    own, gold, gaps = panel.scores(strategy), panel.behind(strategy, "gold"), gap(panel, strategy)
    own_missing = panel.num_missing(own, "own")
    gold_missing, gap_missing = panel.num_missing(gold, "gold"), panel.num_missing(gaps, "own", "gold")
    return {
        "mean": level(own, own_missing),
        "pooled_slope": pooled_slope(own, own_missing),
        "within_slope": within_slope(own, own_missing),
        "within_slope_gold": within_slope(gold, gold_missing),
        "eb": mean(gaps, gap_missing),
        "eb_slope": within_slope(gaps, gap_missing),
        "attributable_fraction": attributable_fraction(gold, own, own_missing + gold_missing),
        "human_mean": corrected_mean(panel.scores(strategy, quantity="human"), own, own_missing),
    }


def _compared(panel: Panel, strategy: str, baseline: str) -> Mapping[str, Statistic]:
    own, reference = panel.scores(strategy), panel.scores(baseline)
    gaps, reference_gaps = gap(panel, strategy), gap(panel, baseline)
    gained, reduced = own - reference, reference_gaps - gaps
    moved = panel.behind(baseline, swapped(strategy)) - reference
    rated = panel.scores(strategy, quantity="human") - panel.scores(baseline, quantity="human")
    own_missing = panel.num_missing(gained, "own")
    gap_missing = panel.num_missing(reduced, "own", "gold")
    four = [panel.behind(baseline, "gold"), reference, panel.behind(strategy, "gold"), own]
    return {
        "mean_gain": mean(gained, own_missing),
        "slope_change": within_slope(gained, own_missing),
        "eb_reduction": mean(reduced, gap_missing),
        "eb_slope_reduction": within_slope(reduced, gap_missing),
        "eb_reduction_ratio": relative_reduction(gaps, reference_gaps, gap_missing),
        "eb_reduction_logit": logit_reduction(four, gap_missing),
        "history_gain": mean(moved, panel.num_missing(moved, "own", swapped(strategy))),
        "human_gain": corrected_mean(rated, gained, own_missing),
    }


def _not_compared(panel: Panel, strategy: str, baseline: str | None) -> str:
    """Why the strategy is not compared with the baseline; empty where it is."""
    if baseline is None:
        return "there is no baseline"
    return "is the baseline" if strategy == baseline else panel.void(strategy, baseline)


def _without_test(estimate: Estimate) -> Estimate:
    return replace(estimate, p=_NAN, p_equivalence=_NAN, detectable=_NAN)
