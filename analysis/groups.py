"""Gains and gap reductions within classes, domains and tasks (exploratory)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.bootstrap import Floats
from analysis.estimands import gap
from analysis.inference import Estimate, Inference, benjamini_hochberg
from analysis.panel import Panel
from analysis.statistic import mean

__all__ = ["LEVELS", "Group", "groups"]

LEVELS = {"class": 0, "domain": 1, "task": 2}
"""Name of a grouping level -> the field of the sample key that it groups by."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """One strategy in one group of samples. p-values are adjusted (Benjamini-Hochberg) within a level."""

    level: str
    name: str
    strategy: str
    gain: Estimate
    reduction: Estimate


def groups(panel: Panel, inference: Inference, baseline: str | None) -> tuple[Group, ...]:
    """The groups of every level that has more than one group; empty without a baseline."""
    if baseline is None:
        return ()
    return tuple(group for level in LEVELS for group in _level(panel, inference, baseline, level))


def _level(panel: Panel, inference: Inference, baseline: str, level: str) -> list[Group]:
    names = np.array([sample[LEVELS[level]] for sample in panel.samples])
    compared = [s for s in panel.strategies if s != baseline and not panel.void(s, baseline)]
    places = [(s, name) for s in compared for name in sorted(set(names.tolist()))]
    if len(set(names.tolist())) < 2:
        return []
    own = {s: panel.scores(s) - panel.scores(baseline) for s in compared}
    gaps = {s: gap(panel, baseline) - gap(panel, s) for s in compared}
    gains = benjamini_hochberg([_within(inference, own[s], names == name) for s, name in places])
    reductions = benjamini_hochberg([_within(inference, gaps[s], names == name) for s, name in places])
    return [
        Group(level=level, name=name, strategy=strategy, gain=gain, reduction=reduction)
        for (strategy, name), gain, reduction in zip(places, gains, reductions, strict=True)
    ]


def _within(inference: Inference, grid: Floats, members: np.typing.NDArray[np.bool_]) -> Estimate:
    return inference.closed_form(mean(np.where(members[:, None], grid, np.nan)))
