"""Computes all results of each strategy of a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.bootstrap import Floats
from analysis.bounds import UNKNOWN, Bounds, gap_bounds, mean_bounds, reduction_bounds
from analysis.claims import Basis
from analysis.compute import Costs, Efficiency, efficiency, mean_cost
from analysis.coupling import Coupling
from analysis.estimands import estimates, gap
from analysis.inference import Estimate, Inference
from analysis.panel import Panel, Quantity
from analysis.statistic import Statistic, level, mean
from analysis.wear import Wear
from analysis.wording import Evidence, Finding, findings

__all__ = ["Arm", "Setting", "measured"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """All results of one strategy. Scores lie in [0, 1], differences in [-1, 1]."""

    strategy: str
    oracle: bool
    num_samples: int
    num_dialogues: int
    """Dialogues on own history; each seed counts separately."""
    num_scored: int
    """Image turns on own history that have a score; each seed counts separately."""
    num_planned: int
    bounds: tuple[float, float]
    """The image score if every missing turn scored 0, and if every one scored 1."""
    mean_bounds: Bounds
    """Bounds of the image score over all possible scores of the turns that any arm planned."""
    eb_bounds: Bounds
    """Bounds of the exposure gap over all possible scores of the missing turns."""
    eb_reduction_bounds: Bounds
    estimates: Mapping[str, Estimate]
    """The estimates by estimand; one that does not apply is undefined and states the reason."""
    step: Estimate
    text: Estimate
    static: Estimate
    dynamic: Estimate
    free: Estimate
    """The score of free-text answers; `static` and `dynamic` are multiple choice."""
    num_text_scored: int
    num_text_planned: int
    own: tuple[Estimate, ...]
    """The image score at turns 1, 2, ... on own history."""
    gold: tuple[Estimate, ...]
    """The image score at turns 1, 2, ... on gold history; undefined at turn 1, which has no history."""
    gaps: tuple[Estimate, ...]
    """Gold minus own score, paired, at turns 1, 2, ..."""
    step_gaps: tuple[Estimate, ...]
    """Gold minus own step score, paired, at turns 1, 2, ..."""
    by_length: Mapping[int, tuple[tuple[Estimate, ...], tuple[Estimate, ...]]]
    """The (own, gold) image scores over turns of the dialogues whose last image turn is the key."""
    cost: Mapping[str, float]
    """The mean cost of an answered image turn on own history, by field of `Cost`."""
    efficiency: Efficiency | None
    """The gain per unit of extra cost; None for the baseline and without a baseline."""
    basis: Basis
    void: str
    """The reason why no gain or reduction is claimed; empty if claims are allowed."""
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The inputs that all parts of the analysis share."""

    panel: Panel
    inference: Inference
    baseline: str | None
    is_default: bool
    """Whether the baseline is the default, i.e. the user did not choose it."""
    costs: Costs = field(repr=False)


def measured(setting: Setting, coupled: Sequence[Coupling], worn: Sequence[Wear]) -> Iterator[Arm]:
    """The results of every strategy of the study, in the order of the tables."""
    found = estimates(setting.panel, setting.inference, setting.baseline)
    said = findings(_evidence(setting, found, coupled, worn), setting.baseline)
    for strategy in setting.panel.strategies:
        yield _arm(setting, strategy, found[strategy], said[strategy])


def _evidence(
    setting: Setting,
    found: Mapping[str, Mapping[str, Estimate]],
    coupled: Sequence[Coupling],
    worn: Sequence[Wear],
) -> dict[str, Evidence]:
    panel, baseline = setting.panel, setting.baseline
    return {
        strategy: Evidence(
            estimates=known,
            is_oracle=strategy in panel.oracles,
            void=_void(panel, strategy, baseline),
            cautions=panel.bases[strategy].cautions,
            bounds=dict(_bounds(panel, strategy, baseline)),
            answers={c.kind: c.gap for c in coupled if c.strategy == strategy},
            wear=next((w for w in worn if w.strategy == strategy), None),
        )
        for strategy, known in found.items()
    }


def _void(panel: Panel, strategy: str, baseline: str | None) -> str:
    return panel.void(strategy, *([] if baseline in (None, strategy) else [str(baseline)]))


def _arm(setting: Setting, strategy: str, found: Mapping[str, Estimate], said: Finding) -> Arm:
    panel, inference = setting.panel, setting.inference
    images, texts = panel.tally(strategy, "own", "image"), panel.tally(strategy, "own", "text")
    names: tuple[Quantity, ...] = ("step", "text", "static", "dynamic", "free")
    own, gold = panel.scores(strategy), panel.replayed(strategy, "gold")
    others = None if setting.baseline in (None, strategy) else str(setting.baseline)
    worst = dict(_bounds(panel, strategy, setting.baseline))
    return Arm(
        strategy=strategy,
        oracle=strategy in panel.oracles,
        num_samples=int(np.count_nonzero(images.planned.sum(axis=1) + texts.planned.sum(axis=1))),
        num_dialogues=int(images.planned.max(axis=1, initial=0).sum()),
        num_scored=int(images.counts.sum()),
        num_planned=int(images.planned.sum()),
        bounds=images.bounds,
        mean_bounds=worst["mean"],
        eb_bounds=worst.get("eb", UNKNOWN),
        eb_reduction_bounds=worst.get("eb_reduction", UNKNOWN),
        estimates=found,
        num_text_scored=int(texts.counts.sum()),
        num_text_planned=int(texts.planned.sum()),
        own=_per_turn(inference, own),
        gold=_per_turn(inference, gold),
        gaps=_per_turn(inference, gap(panel, strategy), mean),
        step_gaps=_per_turn(inference, gap(panel, strategy, "step"), mean),
        by_length=_by_length(panel, inference, own, gold),
        cost=mean_cost(setting.costs[strategy]),
        efficiency=_efficiency(setting, strategy) if others else None,
        basis=panel.bases[strategy],
        void=_void(panel, strategy, setting.baseline),
        finding=said,
        **{name: inference.closed_form(level(panel.scores(strategy, "own", name))) for name in names},
    )


def _bounds(panel: Panel, strategy: str, baseline: str | None) -> Iterator[tuple[str, Bounds]]:
    """Pairs (estimand, bounds). The bounds of gaps exist only if turns were replayed on gold history."""
    yield "mean", mean_bounds(panel, strategy)
    if np.isfinite(gap(panel, strategy)).any():
        yield "eb", gap_bounds(panel, strategy)
        if baseline not in (None, strategy) and np.isfinite(gap(panel, str(baseline))).any():
            yield "eb_reduction", reduction_bounds(panel, strategy, str(baseline))


def _efficiency(setting: Setting, strategy: str) -> Efficiency | None:
    panel, reference = setting.panel, str(setting.baseline)
    if panel.void(strategy, reference):
        return None
    gained = panel.scores(strategy) - panel.scores(reference)
    return efficiency(gained, setting.costs[strategy], setting.costs[reference], setting.inference)


def _per_turn(
    inference: Inference, cells: Floats, statistic: Callable[[Floats], Statistic] = level
) -> tuple[Estimate, ...]:
    columns = (cells[:, turn : turn + 1] for turn in range(cells.shape[1]))
    return tuple(inference.closed_form(statistic(column)) for column in columns)


def _by_length(
    panel: Panel, inference: Inference, own: Floats, gold: Floats
) -> dict[int, tuple[tuple[Estimate, ...], tuple[Estimate, ...]]]:
    lengths = panel.num_image_turns
    found = {}
    for length in sorted(set(lengths.tolist()) - {0}):
        rows = (lengths == length)[:, None]
        curves = (_per_turn(inference, np.where(rows, grid, np.nan)) for grid in (own, gold))
        found[length] = (next(curves), next(curves))
    return found
