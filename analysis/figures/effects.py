"""Figures of exposure bias: the gap over turns, a forest plot of reductions, and curves by dialogue
length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.ablation import Ablation, Arm
from analysis.cells import count_range, display_name
from analysis.figures.style import GOLD, OWN, QUIET, REFERENCE, label, short
from analysis.inference import MARGIN, Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gap_over_turns", "known_points", "reductions", "scores_by_length"]

_PANEL_WIDTH = 3.1
_SKILL = "#D55E00"


def gap_over_turns(result: Ablation) -> Figure | None:
    """EB(t), gold minus own history, with its lost skill; one panel per strategy, the baseline dashed. None
    without gaps.
    """
    arms = [arm for arm in result.arms if arm.estimates["eb"].is_defined]
    if not arms:
        return None
    figure, panels = _grid(len(arms), 4)
    reference = next((arm for arm in arms if arm.strategy == result.baseline), None)
    for panel, arm in zip(panels, arms, strict=True):
        panel.axhline(0, color=QUIET, linewidth=0.8)
        if reference is not None and arm is not reference:
            turns, values = known_points(reference.gaps)
            panel.plot(turns, values, color=REFERENCE, linewidth=1.4, linestyle=(0, (4, 2)))
        _band(panel, arm.gaps, OWN, "o")
        panel.plot(*known_points(arm.step_gaps), color=_SKILL, marker="s", markersize=4.5, linewidth=1.8)
        panel.set_title(
            label(display_name(arm.strategy, arm.oracle)), loc="left", fontsize=12, fontweight="bold"
        )
        panel.grid(axis="y")
    turns = sorted({turn for arm in arms for turn in known_points(arm.gaps)[0]})
    for turn in turns:
        count = count_range([arm.gaps[turn - 1].num_samples for arm in arms if _has(arm.gaps, turn)])
        panels[0].annotate(
            count.replace(" to ", "-"),
            (turn, 0.98),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=9.5,
            color=QUIET,
        )
    panels[0].set_xticks(turns)
    panels[0].set_xlim(turns[0] - 0.4, turns[-1] + 0.4)
    panels[0].margins(y=0.16)
    dashed = f"; dashed: {short(reference.strategy)}" if reference is not None and len(arms) > 1 else ""
    figure.supylabel("EB(t), points", fontsize=13)
    has_steps = any(known_points(arm.step_gaps)[0] for arm in arms)
    skill = "; squares: the lost skill in it, the gap of the step score" if has_steps else ""
    figure.supxlabel(
        f"turn (bands: 95 % intervals; numbers: samples{dashed}{skill})", fontsize=12, color=QUIET
    )
    return figure


def reductions(result: Ablation) -> Figure | None:
    """Forest plot of the EB reductions with the equivalence margin; a mark is filled if both scales show a
    reduction. None without reductions.
    """
    from matplotlib.figure import Figure

    arms = [arm for arm in result.arms if math.isfinite(arm.estimates["eb_reduction"].low)]
    if not arms:
        return None
    figure = Figure(figsize=(7.5, 1.7 + 0.48 * len(arms)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(-100 * MARGIN, 100 * MARGIN, color="#EFEFEF", zorder=0)
    axes.axvline(0, color=QUIET, linewidth=1)
    for row, arm in enumerate(arms):
        e = arm.estimates["eb_reduction"]
        logit = arm.estimates["eb_reduction_logit"]
        is_clear = e.is_shown and logit.is_shown and e.value * logit.value > 0
        axes.plot([100 * e.low, 100 * e.high], [row, row], color=OWN, linewidth=2.2, solid_capstyle="butt")
        face = OWN if is_clear else "white"
        axes.plot(100 * e.value, row, "o", markersize=8, color=OWN, markerfacecolor=face, markeredgewidth=1.8)
    axes.set_yticks(range(len(arms)), [short(display_name(arm.strategy, arm.oracle)) for arm in arms])
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.set_xlabel(f"exposure gap of {label(str(result.baseline))}\nminus the strategy's, points")
    figure.supxlabel(
        "lines: 95 % intervals; filled: shown in points and on the logit scale (Holm p < .05);\n"
        f"open: not on both, so a higher level alone may explain it; grey: within +-{100 * MARGIN:g} points",
        fontsize=11,
        color=QUIET,
    )
    return figure


def scores_by_length(result: Ablation) -> Figure | None:
    """Own and gold curves of the baseline, and the best strategy's own curve, by dialogue length; None
    without such dialogues.
    """
    arm = next((arm for arm in result.arms if arm.strategy == result.baseline), result.arms[0])
    lengths = [n for n, (own, _) in arm.by_length.items() if n > 1 and len(known_points(own)[0]) > 1]
    if not lengths:
        return None
    figure, panels = _grid(len(lengths), 5)
    best = _best(result, arm)
    for panel, length in zip(panels, lengths, strict=True):
        own, gold = arm.by_length[length]
        if known_points(gold)[0]:
            _band(panel, gold, GOLD, "s")
        if best is not None and length in best.by_length:
            turns, values = known_points(best.by_length[length][0])
            panel.plot(
                turns, values, color="#009E73", marker="^", markersize=5, linewidth=1.8, linestyle="--"
            )
        _band(panel, own, OWN, "o")
        most = max(e.num_samples for e in own)
        panel.set_title(f"last image at turn {length} (n={most})", loc="left", fontsize=11.5)
        panel.grid(axis="y")
    panels[0].set_xticks(range(1, max(lengths) + 1))
    figure.supylabel("image score", fontsize=13)
    figure.supxlabel("turn (bands: 95 % intervals)", fontsize=12, color=QUIET)
    _legend(figure, arm, best)
    return figure


def _legend(figure: Figure, arm: Arm, best: Arm | None) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=OWN, marker="o", linewidth=2.2, label=f"{label(arm.strategy)}, own history")
    ]
    if arm.estimates["eb"].is_defined:
        handles.append(
            Line2D(
                [], [], color=GOLD, marker="s", linewidth=2.2, label=f"{label(arm.strategy)}, gold history"
            )
        )
    if best is not None:
        handles.append(
            Line2D(
                [],
                [],
                color="#009E73",
                marker="^",
                linewidth=1.8,
                linestyle="--",
                label=f"{label(best.strategy)}, own",
            )
        )
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=11.5)


def _best(result: Ablation, arm: Arm) -> Arm | None:
    others = [other for other in result.arms if other is not arm and not other.oracle and not other.void]
    return max(others, key=lambda other: other.estimates["mean"].value, default=None)


def _grid(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels that share their axes."""
    from matplotlib.figure import Figure

    columns = min(count, columns)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(max(5.5, _PANEL_WIDTH * columns), 1.4 + 2.5 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for panel in panels[count:]:
        panel.set_visible(False)
    for panel in panels[max(0, count - columns) : count]:
        panel.tick_params(labelbottom=True)
    return figure, panels[:count]


def _band(panel: Axes, estimates: Sequence[Estimate], color: str, marker: str) -> None:
    turns, values = known_points(estimates)
    low = [100 * estimates[t - 1].low for t in turns]
    high = [100 * estimates[t - 1].high for t in turns]
    panel.fill_between(turns, low, high, color=color, alpha=0.2, linewidth=0)
    panel.plot(turns, values, color=color, marker=marker, markersize=5.5, linewidth=2.2)


def _has(estimates: Sequence[Estimate], turn: int) -> bool:
    return turn <= len(estimates) and estimates[turn - 1].is_defined


def known_points(estimates: Sequence[Estimate]) -> tuple[list[int], list[float]]:
    """Return the turns with a defined estimate, from 1, and their values in points."""
    points = [(turn, 100 * e.value) for turn, e in enumerate(estimates, 1) if e.is_defined]
    return [turn for turn, _ in points], [value for _, value in points]
