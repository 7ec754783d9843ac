"""Training against exposure bias: what trained weights gain, under which strategy, and when they pay off.

Models that were trained alike (method, steps, beginning) and differ in seed are one remedy: their scores are
averaged in each cell (sample, turn). Intervals are over dialogues, so they say nothing of other training
seeds; how far the models lie apart is told beside them.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.bootstrap import Floats
from analysis.compute import Costs
from analysis.estimands import gap
from analysis.inference import Estimate, Inference, undefined
from analysis.names import label_of, setting_of
from analysis.panel import Panel, Quantity
from analysis.records import Cost, Study
from analysis.statistic import Statistic, level, mean

__all__ = ["BreakEven", "Remedy", "remedies"]

_FOLDER = re.compile(r"\S*folder=\S+\s?")
_CONTROL = "gold"
"""The method that trains on gold history alone."""
_MORE = 1.01
"""An arm asks for more than another if it asks for this many times its tokens."""


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """A remedy beside a dearer test-time strategy of about its score, on the weights it began with."""

    strategy: str
    """The arm whose image score lies nearest, of those that ask the models for more tokens."""
    difference: Estimate
    """Image score of the remedy less that arm's."""
    saved: Estimate
    """Seconds in the models that the remedy saves per dialogue, image turns; its interval is over dialogues
    alone, whatever else the machine did."""
    saved_tokens: Estimate
    """New tokens that it saves per dialogue, image turns."""
    dialogues: tuple[float, float, float]
    """Seconds of training one model over the seconds saved: value and the ends that go with those of `saved`.

    NaN where no saving is shown, infinite at an end that is not bounded."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """Trained weights under one strategy. Scores and differences lie in [0, 1] and [-1, 1]."""

    method: str
    start: str
    steps: int
    strategy: str
    """The arm's name without its folder."""
    arms: tuple[str, ...]
    """One for each training seed."""
    seconds: float
    """Of the training of one model; the mean over seeds."""
    token_positions: float
    mean: Estimate
    gain: Estimate
    """Over the same strategy on the weights that the training began with."""
    gains: tuple[float, ...]
    """The same for each model."""
    first_turn: Estimate
    """The gain at turn 1, which has no history."""
    control: tuple[str, ...]
    """The arms of the control: the same training on gold history alone, under the same strategy."""
    against_control: Estimate
    """Image score less the control's."""
    first_turn_against_control: Estimate
    eb_reduction_against_control: Estimate
    """The control's gap less this one."""
    eb_step_reduction_against_control: Estimate
    eb: Estimate
    eb_step: Estimate
    """Lost skill, a part of the gap."""
    eb_reduction: Estimate
    """The gap of the same strategy on the weights that the training began with, less this one."""
    eb_step_reduction: Estimate
    break_even: BreakEven | None
    """None for the control, from scratch, and where no arm on the first weights asks for more tokens."""


class _Group(NamedTuple):
    method: str
    start: str
    steps: int
    strategy: str


def remedies(study: Study, panel: Panel, inference: Inference, costs: Costs) -> tuple[Remedy, ...]:
    """One for each way of training and strategy; none where no model says what its training has cost."""
    groups: dict[_Group, list[str]] = defaultdict(list)
    for arm in panel.strategies:
        if (cost := study.training.get(arm)) is not None:
            groups[_Group(cost.method, cost.start, cost.steps, _plain_name(arm))].append(arm)
    return tuple(_remedy(_Setting(study, panel, inference, costs, groups), group) for group in groups)


class _Setting(NamedTuple):
    study: Study
    panel: Panel
    inference: Inference
    costs: Costs
    groups: Mapping[_Group, Sequence[str]]

    def first_weights(self, start: str) -> list[str]:
        """The arms on the weights that a training began with."""
        return [
            arm
            for arm in self.panel.strategies
            if self.study.backbones[arm].endswith(f":{start}") and arm not in self.panel.oracles
        ]


def _remedy(setting: _Setting, group: _Group) -> Remedy:
    panel, arms = setting.panel, setting.groups[group]
    costs = [setting.study.training[arm] for arm in arms]
    before = [arm for arm in setting.first_weights(group.start) if _plain_name(arm) == group.strategy][:1]
    control = setting.groups.get(group._replace(method=_CONTROL), ()) if group.method != _CONTROL else ()
    own, reference, controlled = (_averaged(panel.scores, each) for each in (arms, before, control))
    gaps, gaps_before, gaps_control = (_gaps(panel, each) for each in (arms, before, control))
    skill, skill_before, skill_control = (_gaps(panel, each, "step") for each in (arms, before, control))
    found = _estimates(
        setting,
        {
            "mean": level(own),
            "gain": mean(own - reference),
            "first_turn": mean((own - reference)[:, :1]),
            "against_control": mean(own - controlled),
            "first_turn_against_control": mean((own - controlled)[:, :1]),
            "eb_reduction_against_control": mean(gaps_control - gaps),
            "eb_step_reduction_against_control": mean(skill_control - skill),
            "eb": mean(gaps),
            "eb_step": mean(skill),
            "eb_reduction": mean(gaps_before - gaps),
            "eb_step_reduction": mean(skill_before - skill),
        },
    )
    return Remedy(
        method=group.method,
        start=group.start,
        steps=group.steps,
        strategy=group.strategy,
        arms=tuple(arms),
        control=tuple(control),
        seconds=float(np.mean([cost.seconds for cost in costs])),
        token_positions=float(np.mean([cost.token_positions for cost in costs])),
        gains=tuple(_value(mean(panel.scores(arm) - reference)) for arm in arms) if before else (),
        break_even=None if group.method == _CONTROL else _break_even(setting, group, own),
        **found,
    )


def _break_even(setting: _Setting, group: _Group, own: Floats) -> BreakEven | None:
    arms, costs, scores = setting.groups[group], setting.costs, setting.panel.scores
    tokens = float(np.nanmean(_averaged(lambda arm: _both(costs[arm], "tokens"), arms)))
    dearer = [
        arm
        for arm in setting.first_weights(group.start)
        if np.nanmean(_both(costs[arm], "tokens")) > _MORE * tokens and np.isfinite(own - scores(arm)).any()
    ]
    if not dearer:
        return None
    arm = min(dearer, key=lambda each: abs(float(np.nanmean(own - scores(each)))))
    found = _estimates(
        setting,
        {
            "difference": mean(own - scores(arm)),
            "saved": _per_dialogue(costs, arm, arms, "seconds"),
            "saved_tokens": _per_dialogue(costs, arm, arms, "tokens"),
        },
    )
    trained = float(np.mean([setting.study.training[each].seconds for each in arms]))
    return BreakEven(strategy=arm, dialogues=_over(trained, found["saved"]), **found)


def _per_dialogue(costs: Costs, dearer: str, arms: Sequence[str], what: str) -> Statistic:
    saved = _both(costs[dearer], what) - _averaged(lambda each: _both(costs[each], what), arms)
    return mean(np.where(np.isfinite(saved).any(axis=1), np.nansum(saved, axis=1), np.nan)[:, None])


def _over(seconds: float, saved: Estimate) -> tuple[float, float, float]:
    if not saved.is_defined or not saved.high > 0 or not saved.value > 0:
        return (math.nan,) * 3
    return seconds / saved.value, seconds / saved.high, seconds / saved.low if saved.low > 0 else math.inf


def _estimates(setting: _Setting, statistics: Mapping[str, Statistic]) -> dict[str, Estimate]:
    known = {name: statistic for name, statistic in statistics.items() if statistic.num_units}
    found = setting.inference.estimates(known)
    return {name: found.get(name) or undefined("no scores to compare") for name in statistics}


def _value(statistic: Statistic) -> float:
    return statistic.value if statistic.num_units else math.nan


def _averaged(grid_of: Callable[[str], Floats], arms: Sequence[str]) -> Floats:
    """The mean over arms in the cells that all of them have; NaN elsewhere, and without arms."""
    if not arms:
        return np.full((1, 1), np.nan)
    return np.asarray(np.mean([grid_of(arm) for arm in arms], axis=0))


def _gaps(panel: Panel, arms: Sequence[str], quantity: Quantity = "image") -> Floats:
    return _averaged(lambda arm: gap(panel, arm, quantity), arms)


def _both(cells: Floats, what: str) -> Floats:
    """Seconds or new tokens of the generator and, where they are known, of the judge; (samples, turns)."""
    generator, judge = (cells[:, :, Cost._fields.index(f"{who}_{what}")] for who in ("generator", "judge"))
    return np.asarray(generator + np.nan_to_num(judge))


def _plain_name(arm: str) -> str:
    """The name without the folder of the weights, which the remedy stands for."""
    rest = _FOLDER.sub("", setting_of(arm)).strip()
    return f"{label_of(arm)} @ {rest}" if rest else label_of(arm)
