"""Figures of scaling: gain against NFE with the Pareto front, and score over the number of candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from analysis.ablation import Ablation, Arm
from analysis.cells import display_name
from analysis.figures.style import GOLD_INK, OWN, QUIET, REFERENCE, label
from analysis.names import label_of, setting_of
from analysis.scaling import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gain_against_cost", "score_over_candidates"]

_Across = Literal["left", "center", "right"]
_Up = Literal["bottom", "center", "top"]
_SIDES: Final[Mapping[str, tuple[tuple[float, float], _Across, _Up]]] = {
    "right": ((10, 0), "left", "center"),
    "left": ((-10, 0), "right", "center"),
    "above": ((0, 10), "center", "bottom"),
}
"""Positions of a name relative to its point: offset in points, and the alignments of its text."""
_MOST_NAMED: Final = 12
"""Above this number of points, only the baseline and the points of the Pareto front get names."""


def gain_against_cost(result: Ablation) -> Figure | None:
    """Gain (without a baseline: score) against NFE per image turn on a log scale, with the Pareto front.

    None if all strategies have the same cost.
    """
    from matplotlib.figure import Figure

    points = _points(result)
    if len({round(point.cost, 1) for point in points}) < 2:
        return None
    figure = Figure(figsize=(9.6, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    front = [point for name in result.pareto_front for point in points if point.arm.strategy == name]
    axes.step(
        [p.cost for p in front],
        [p.value for p in front],
        where="post",
        color=REFERENCE,
        linewidth=1.6,
        linestyle=(0, (4, 2)),
        zorder=1,
    )
    for point in points:
        _mark(axes, point, point in front)
    is_crowded = len(points) > _MOST_NAMED
    _names(axes, [p for p in points if not is_crowded or p in front or p.arm.strategy == result.baseline])
    axes.grid(axis="y")
    axes.margins(x=0.22, y=0.12)
    costs = _apart(sorted({round(point.cost, 1) for point in points}))
    axes.set_xticks(costs, [f"{cost:g}" for cost in costs])
    axes.minorticks_off()
    axes.set_xlabel("network evaluations per image turn (log scale)")
    axes.set_ylabel(f"gain over {label(result.baseline)}, points" if result.baseline else "image score")
    named = "; all names: table T8" if is_crowded else ""
    figure.supxlabel(
        "bars: 95 % intervals; dashed: Pareto front; open: beaten at its cost, an oracle,\n"
        f"or run on other dialogues{named}",
        fontsize=11,
        color=QUIET,
    )
    return figure


@dataclass(frozen=True)
class _Point:
    arm: Arm
    cost: float
    value: float
    """Gain or score in points."""
    low: float
    high: float


def _points(result: Ablation) -> list[_Point]:
    arms = [arm for arm in result.arms if arm.cost.get("nfe", math.nan) > 0]
    points = [_point(arm, result.baseline) for arm in arms]
    return [point for point in points if math.isfinite(point.value)]


def _point(arm: Arm, baseline: str | None) -> _Point:
    cost = arm.cost["nfe"]
    if arm.strategy == baseline:
        return _Point(arm, cost, 0.0, math.nan, math.nan)
    e = arm.estimates["mean_gain" if baseline else "mean"]
    return _Point(arm, cost, 100 * e.value, 100 * e.low, 100 * e.high)


def score_over_candidates(result: Ablation) -> Figure | None:
    """Scores of a random candidate, the arm's choice and the best of n, from the pools of each strategy; None
    without curves.
    """
    from matplotlib.figure import Figure

    curves = [c for c in result.curves if len(c.rungs) > 1 and not c.layer.startswith("oracle")]
    if not curves:
        return None
    columns = min(4, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(max(6.5, 3.2 * columns), 1.7 + 2.6 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    looks = {"best": (GOLD_INK, "s", "best of n (oracle)"), "arm": (OWN, "o", "picked by the judge")}
    looks["random"] = (QUIET, "^", "random of n")
    for panel, curve in zip(panels, curves, strict=False):
        sizes = [rung.num_candidates for rung in curve.rungs]
        for kind, (color, marker, words) in looks.items():
            values = [100 * getattr(rung, kind).value for rung in curve.rungs]
            panel.plot(sizes, values, color=color, marker=marker, linewidth=2, label=words)
        panel.set_xscale("log", base=2)
        panel.set_xticks(sizes, [str(size) for size in sizes])
        panel.set_title(f"{_title(curve)}\n{curve.where}", loc="left", fontsize=11)
        panel.grid(axis="y")
    for panel in panels[len(curves) :]:
        panel.set_visible(False)
    handles, words = panels[0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside upper left", ncols=3, frameon=False, fontsize=11.5)
    figure.supxlabel("number of candidates n", fontsize=12, color=QUIET)
    figure.supylabel("image score", fontsize=13)
    return figure


def _title(curve: Curve) -> str:
    whole, setting = label_of(curve.strategy).replace("+", " +", 1), setting_of(curve.strategy)
    return f"{whole}\n@ {setting}" if setting else whole


def _mark(axes: Axes, point: _Point, is_on_front: bool) -> None:
    reach = [[point.value - point.low], [point.high - point.value]] if math.isfinite(point.low) else None
    axes.errorbar(
        point.cost,
        point.value,
        yerr=reach,
        color=OWN,
        marker="o",
        markersize=8,
        elinewidth=1.4,
        markerfacecolor=OWN if is_on_front else "white",
        markeredgewidth=1.6,
        zorder=3 if is_on_front else 2,
    )


def _names(axes: Axes, points: list[_Point]) -> None:
    """Write the names right of their points; left or above if another name would overlap."""
    background = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    height = max(p.value for p in points) - min(p.value for p in points)
    for point in points:
        peers = [p for p in points if p is not point and _is_near(p, point, height)]
        is_cheapest = all((point.cost, point.value) < (p.cost, p.value) for p in peers)
        is_dearest = all((point.cost, point.value) > (p.cost, p.value) for p in peers)
        side = "right" if is_dearest else "left" if is_cheapest else "above"
        offset, across, up = _SIDES[side]
        axes.annotate(
            label(display_name(point.arm.strategy, point.arm.oracle)),
            (point.cost, point.value),
            fontsize=10.5,
            ha=across,
            va=up,
            xytext=offset,
            textcoords="offset points",
            bbox=background,
        )


def _is_near(one: _Point, other: _Point, height: float) -> bool:
    """Whether the name of one point could overlap the other point."""
    return abs(math.log(one.cost / other.cost)) < 0.6 and abs(one.value - other.value) < 0.08 * height


def _apart(costs: list[float]) -> list[float]:
    """The costs that are far enough apart for tick labels."""
    chosen: list[float] = []
    for cost in costs:
        if not chosen or cost > 1.25 * chosen[-1]:
            chosen.append(cost)
    return chosen
