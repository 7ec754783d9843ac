"""The named estimands of one strategy, each as a statistic on the cells (sample, turn) that it needs.

Image turns only. Seeds are averaged within a cell first, and every cell has equal weight. Comparisons of two
arms use the cells that both have. docs/concepts/statistics.md defines each estimand with its formula.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.agreement import corrected_mean
from analysis.bootstrap import Floats
from analysis.inference import Estimate, Inference, holm, undefined
from analysis.names import swapped
from analysis.panel import Losses, Panel, Quantity
from analysis.statistic import (
    Statistic,
    attributable_fraction,
    level,
    logit_reduction,
    mean,
    pooled_slope,
    ratio_of_means,
    relative_reduction,
    slope_composition,
    within_slope,
)

__all__ = ["COMPARED", "ESTIMANDS", "estimates", "gap", "gap_from_turn_1", "of_design"]

ESTIMANDS = {
    "mean": "image score",
    "mean_gain": "gain over the baseline",
    "pooled_slope": "slope over turns, pooled (descriptive)",
    "within_slope": "slope over turns within dialogues, own history",
    "slope_composition": "pooled slope minus the slope within dialogues, own history",
    "within_slope_gold": "slope over turns within dialogues, gold history",
    "slope_change": "slope minus the baseline's slope, own history",
    "eb": "exposure gap: score on gold minus own history",
    "eb_step": "lost skill: the gap of the step score (the turn's request relative to the previous image)",
    "eb_inherited": "inherited damage: the exposure gap minus the gap of the step score",
    "eb_step_share": "share of the exposure gap that is lost skill",
    "eb_slope": "growth of the exposure gap per turn",
    "eb_reduction": "exposure gap of the baseline minus that of the strategy",
    "eb_slope_reduction": "growth of the gap per turn: the baseline's minus the strategy's",
    "eb_reduction_ratio": "share of the baseline's exposure gap that the strategy removes",
    "eb_step_reduction": "lost skill of the baseline minus that of the strategy",
    "eb_reduction_logit": "reduction of the exposure gap on the logit scale",
    "attributable_fraction": "share of the decay that own history causes",
    "history_gain": "the baseline's score on the strategy's history minus that on its own",
    "human_mean": "image score of human raters (PPI++)",
    "human_gain": "gain over the baseline by human raters (PPI++)",
}
"""Every estimand of a strategy in reading order, with its description."""
COMPARED = {
    "mean_gain", "slope_change", "eb_reduction", "eb_slope_reduction", "eb_reduction_ratio",
    "eb_step_reduction", "eb_reduction_logit", "history_gain", "human_gain",
}  # fmt: skip
"""The estimands that need a baseline."""
_OF_STEPS = ("eb_step", "eb_inherited", "eb_step_share", "eb_step_reduction")
_RATED: tuple[Quantity, Quantity] = ("human", "rated")
"""The quantities of labelled records: the human score, and the scorer's score of the same records."""
_NO_STEPS = "the benchmark has no step scores"


def estimates(panel: Panel, inference: Inference, baseline: str | None) -> dict[str, dict[str, Estimate]]:
    """The estimates by strategy and estimand. p-values are adjusted (Holm) over the strategies of an
    estimand.

    Oracle arms form a separate family, because they are bounds and not claims.
    """
    found = {s: _of_strategy(panel, inference, s, baseline) for s in panel.strategies}
    oracles = [s for s in panel.strategies if s in panel.oracles]
    others = [s for s in panel.strategies if s not in panel.oracles]
    for name in ESTIMANDS:
        for family in (others, oracles):
            for strategy, estimate in zip(family, holm([found[s][name] for s in family]), strict=True):
                found[strategy][name] = estimate
    return found


def gap(panel: Panel, strategy: str, quantity: Quantity = "image") -> Floats:
    """Gold minus own score of image turns t >= 2, shape (samples, turns); NaN unless both are scored."""
    return panel.replayed(strategy, "gold", quantity) - panel.scores(strategy, "own", quantity)


def gap_from_turn_1(panel: Panel, strategy: str) -> Floats:
    """The same as `gap`, with a gap of 0 at turn 1 if that turn has a score; used for slopes."""
    return panel.from_turn_1(strategy, "gold") - panel.scores(strategy)


def _of_strategy(
    panel: Panel, inference: Inference, strategy: str, baseline: str | None
) -> dict[str, Estimate]:
    statistics = _alone(panel, strategy) | _composition(panel, strategy)
    why = _not_compared(panel, strategy, baseline)
    if baseline is not None and not why:
        statistics |= _compared(panel, strategy, baseline)
    known = inference.estimates(statistics)
    found = {name: known.get(name) or undefined(why) for name in ESTIMANDS}
    if not panel.has_steps:
        found |= {name: replace(found[name], reason=_NO_STEPS) for name in _OF_STEPS}
    return found


def _alone(panel: Panel, strategy: str) -> dict[str, Statistic]:
    own, gold = panel.scores(strategy), panel.from_turn_1(strategy, "gold")
    gaps, gaps_from_1 = gap(panel, strategy), gap_from_turn_1(panel, strategy)
    on_own, on_gold = (strategy, "own"), (strategy, "gold")
    own_losses = panel.losses(on_own)
    both = panel.losses(on_own, on_gold, with_turn_1=True)
    labels, rated = (panel.scores(strategy, quantity=q) for q in _RATED)
    human = replace(corrected_mean(labels, own, rated), is_bounded=True)
    return {
        "mean": of_design(level(own), own_losses),
        "pooled_slope": of_design(pooled_slope(own), own_losses),
        "within_slope": of_design(within_slope(own), own_losses),
        "slope_composition": of_design(slope_composition(own), own_losses),
        "within_slope_gold": of_design(within_slope(gold), panel.losses(on_gold, with_turn_1=True)),
        "eb": of_design(mean(gaps), panel.losses(on_own, on_gold)),
        "eb_slope": of_design(within_slope(gaps_from_1), both),
        "attributable_fraction": of_design(attributable_fraction(gold, own), both),
        "human_mean": of_design(human, own_losses),
    }


def _composition(panel: Panel, strategy: str) -> dict[str, Statistic]:
    """The statistics that split the exposure gap into lost skill and inherited damage, on the cells that have
    all scores.
    """
    whole, lost = gap(panel, strategy), gap(panel, strategy, "step")
    losses = panel.losses((strategy, "own"), (strategy, "gold"), quantity="step")
    both = np.where(np.isfinite(whole), lost, np.nan)
    return {
        "eb_step": of_design(mean(both), losses),
        "eb_inherited": of_design(mean(whole - lost), losses),
        "eb_step_share": of_design(ratio_of_means(lost, whole), losses),
    }


def _compared(panel: Panel, strategy: str, baseline: str) -> dict[str, Statistic]:
    own, reference = panel.scores(strategy), panel.scores(baseline)
    gaps, reference_gaps = gap(panel, strategy), gap(panel, baseline)
    reduced = reference_gaps - gaps
    reduced_from_1 = gap_from_turn_1(panel, baseline) - gap_from_turn_1(panel, strategy)
    skill = gap(panel, baseline, "step") - gap(panel, strategy, "step")
    swap = swapped(strategy)
    moved = panel.replayed(baseline, swap) - reference
    labels, rated = (panel.scores(strategy, quantity=q) - panel.scores(baseline, quantity=q) for q in _RATED)
    on_own = [(s, "own") for s in (strategy, baseline)]
    on_both = [*on_own, *((s, "gold") for s in (strategy, baseline))]
    gain_losses, gap_losses = panel.losses(*on_own), panel.losses(*on_both)
    four = [panel.replayed(baseline, "gold"), reference, panel.replayed(strategy, "gold"), own]
    return {
        "mean_gain": of_design(mean(own - reference), gain_losses),
        "slope_change": of_design(within_slope(own - reference), gain_losses),
        "eb_reduction": of_design(mean(reduced), gap_losses),
        "eb_slope_reduction": of_design(
            within_slope(reduced_from_1), panel.losses(*on_both, with_turn_1=True)
        ),
        "eb_reduction_ratio": of_design(relative_reduction(gaps, reference_gaps), gap_losses),
        "eb_step_reduction": of_design(mean(skill), panel.losses(*on_both, quantity="step")),
        "eb_reduction_logit": of_design(logit_reduction(four), gap_losses),
        "history_gain": of_design(mean(moved), panel.losses((baseline, "own"), (baseline, swap))),
        "human_gain": of_design(corrected_mean(labels, own - reference, rated), gain_losses),
    }


def of_design(statistic: Statistic, losses: Losses) -> Statistic:
    """The statistic with the numbers of planned and of missing turns of its design."""
    return replace(statistic, num_missing=losses.missing, num_planned=losses.planned)


def _not_compared(panel: Panel, strategy: str, baseline: str | None) -> str:
    """The reason why the strategy is not compared with the baseline; empty if it is."""
    if baseline is None:
        return "there is no baseline"
    return "is the baseline" if strategy == baseline else panel.void(strategy, baseline)
