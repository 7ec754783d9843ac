"""Figure: the parts of each strategy's exposure gap, inherited damage and lost skill."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.ablation import Ablation
from analysis.cells import display_name
from analysis.figures.style import GOLD, OWN, QUIET, label
from analysis.inference import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["parts_of_the_gap"]

_PARTS = (("eb_inherited", -0.19, OWN, "inherited damage: earlier errors counted again"),
          ("eb_step", 0.19, GOLD, "lost skill: the step itself done worse"))  # fmt: skip


def parts_of_the_gap(result: Ablation) -> Figure | None:
    """Draw the two parts of each strategy's exposure gap as bars: lost skill and inherited damage.

    Returns None if the benchmark has no step scores, which separate the two parts.
    """
    from matplotlib.figure import Figure

    arms = [arm for arm in result.arms if arm.estimates["eb_step"].is_defined]
    if not arms:
        return None
    figure = Figure(figsize=(7.5, 2.0 + 0.62 * len(arms)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=QUIET, linewidth=1)
    for row, arm in enumerate(arms):
        for name, offset, color, words in _PARTS:
            _bar(axes, row + offset, arm.estimates[name], color, words if row == 0 else "")
    axes.set_yticks(range(len(arms)), [label(display_name(arm.strategy, arm.oracle)) for arm in arms])
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.set_xlabel("part of the exposure gap, points")
    figure.legend(loc="outside upper left", ncols=1, frameon=False, fontsize=11.5)
    figure.supxlabel("lines: 95 % intervals; the two parts add up to the gap", fontsize=11, color=QUIET)
    return figure


def _bar(axes: Axes, place: float, estimate: Estimate, color: str, words: str) -> None:
    axes.barh(place, 100 * estimate.value, height=0.36, color=color, label=words or None)
    if math.isfinite(estimate.low):
        axes.plot([100 * estimate.low, 100 * estimate.high], [place, place], color="black", linewidth=1.4)
