"""Training against exposure bias: the gain of trained weights under each strategy, and their break-even.

Models with the same training (method, steps, start weights) that differ in the training seed are one remedy:
their scores are averaged in each cell (sample, turn). Intervals are over dialogues, so they do not cover
other training seeds; the gain of each model is reported too.
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
from imug_tts.records import model_parts

__all__ = ["BreakEven", "Remedy", "remedies"]

_FOLDER = re.compile(r"\S*folder=\S+\s?")
_CONTROL = "gold"
"""The method that trains on gold history only."""
_MORE = 1.01
"""An arm counts as more expensive than another if it uses more than this many times its tokens."""


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """A remedy compared with a more expensive test-time strategy on its start weights."""

    strategy: str
    """The arm on the start weights with the nearest image score, among the arms that use more tokens."""
    difference: Estimate
    """Image score of the remedy minus that of the arm."""
    saved: Estimate
    """Model seconds on image turns that the remedy saves per dialogue, compared with the arm.

    The interval is over dialogues only. It does not cover other load on the machine.
    """
    saved_tokens: Estimate
    """New tokens on image turns that the remedy saves per dialogue."""
    dialogues: tuple[float, float, float]
    """Training seconds of one model divided by `saved`: the value, and the low and high end of its interval.

    All are NaN if no saving is shown; the high end is infinite if the interval of `saved` includes 0.
    """


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """Trained weights under one strategy. Scores are in [0, 1], differences in [-1, 1]."""

    method: str
    start: str
    steps: int
    strategy: str
    """The arm's name without the folder of the weights."""
    arms: tuple[str, ...]
    """The arms of the remedy, one for each training seed."""
    seconds: float
    """Training time of one model, the mean over seeds."""
    token_positions: float
    """Token positions that one model was trained on, the mean over seeds."""
    mean: Estimate
    """Image score on own history."""
    gain: Estimate
    """Image score minus that of the same strategy on the start weights."""
    gains: tuple[float, ...]
    """The gain of each model."""
    first_turn: Estimate
    """The gain at turn 1, which has no history."""
    control: tuple[str, ...]
    """The arms of the control: the same training on gold history only, under the same strategy."""
    against_control: Estimate
    """Image score minus that of the control."""
    first_turn_against_control: Estimate
    """Image score at turn 1 minus that of the control."""
    eb_reduction_against_control: Estimate
    """The gap of the control minus the gap of the remedy."""
    eb_step_reduction_against_control: Estimate
    """The lost skill of the control minus that of the remedy."""
    eb: Estimate
    """The exposure gap."""
    eb_step: Estimate
    """Lost skill, a part of the gap."""
    eb_reduction: Estimate
    """The gap of the same strategy on the start weights, minus the gap of the remedy."""
    eb_step_reduction: Estimate
    """The lost skill of the same strategy on the start weights, minus that of the remedy."""
    break_even: BreakEven | None
    """None for the control, for training from scratch, and if no arm on the start weights uses more
    tokens.
    """


class _Group(NamedTuple):
    method: str
    start: str
    steps: int
    strategy: str


def remedies(study: Study, panel: Panel, inference: Inference, costs: Costs) -> tuple[Remedy, ...]:
    """Return a remedy for each kind of training and strategy; none if no model states its training cost."""
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
        """Return the arms, without oracle arms, on the start weights of a training."""
        return [
            arm
            for arm in self.panel.strategies
            if model_parts(self.study.backbones[arm]).weights == start and arm not in self.panel.oracles
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
    """Return the mean over arms in each cell that all arms have; NaN in other cells, and if there is no
    arm.
    """
    if not arms:
        return np.full((1, 1), np.nan)
    return np.asarray(np.mean([grid_of(arm) for arm in arms], axis=0))


def _gaps(panel: Panel, arms: Sequence[str], quantity: Quantity = "image") -> Floats:
    return _averaged(lambda arm: gap(panel, arm, quantity), arms)


def _both(cells: Floats, what: str) -> Floats:
    """Return seconds or new tokens of generator plus judge, (samples, turns). Unknown judge costs count
    as 0.
    """
    generator, judge = (cells[:, :, Cost._fields.index(f"{who}_{what}")] for who in ("generator", "judge"))
    return np.asarray(generator + np.nan_to_num(judge))


def _plain_name(arm: str) -> str:
    """Return an arm's name without the folder of its weights."""
    rest = _FOLDER.sub("", setting_of(arm)).strip()
    return f"{label_of(arm)} @ {rest}" if rest else label_of(arm)
