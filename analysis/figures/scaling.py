"""What compute buys: gain against NFE with the Pareto front, and score over the number of candidates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.ablation import Ablation, Arm
from analysis.figures.style import GOLD_INK, OWN, QUIET, REFERENCE
from analysis.tables import display_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gain_against_cost", "score_over_candidates"]


def gain_against_cost(result: Ablation) -> Figure | None:
    """Image score against NFE per image turn on a log scale, with the Pareto front."""
    from matplotlib.figure import Figure

    arms = [arm for arm in result.arms if arm.estimates["mean"].is_defined and arm.cost.get("nfe", math.nan) > 0]
    if len(arms) < 2:
        return None
    figure = Figure(figsize=(8.0, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    front = [arm for name in result.pareto_front for arm in arms if arm.strategy == name]
    axes.step(
        [a.cost["nfe"] for a in front], [_score(a) for a in front], where="post", color=REFERENCE, linewidth=1.6,
        linestyle=(0, (4, 2)), zorder=1,
    )  # fmt: skip
    for arm in arms:
        _point(axes, arm, arm in front)
    _names(axes, arms)
    axes.grid(axis="y")
    axes.margins(x=0.22, y=0.12)
    costs = sorted({round(arm.cost["nfe"], 1) for arm in arms})
    axes.set_xticks(_apart(costs), [f"{cost:g}" for cost in _apart(costs)])
    axes.minorticks_off()
    axes.set_xlabel("network evaluations per image turn (log scale)")
    axes.set_ylabel("image score")
    figure.supxlabel(
        "bars: 95 % intervals; dashed: Pareto front; open: beaten at its cost, or an oracle", fontsize=11, color=QUIET
    )
    return figure


def score_over_candidates(result: Ablation) -> Figure | None:
    """Random, arm and best of n, from the pools of each strategy."""
    from matplotlib.figure import Figure

    curves = [c for c in result.curves if len(c.rungs) > 1 and not c.layer.startswith("oracle")][:8]
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
        panel.set_title(f"{curve.strategy.replace('+', ' +', 1)}\n{curve.where}", loc="left", fontsize=11)
        panel.grid(axis="y")
    for panel in panels[len(curves) :]:
        panel.set_visible(False)
    handles, words = panels[0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside upper left", ncols=3, frameon=False, fontsize=11.5)
    figure.supxlabel("number of candidates n", fontsize=12, color=QUIET)
    figure.supylabel("image score", fontsize=13)
    return figure


def _point(axes: Axes, arm: Arm, is_on_front: bool) -> None:
    e = arm.estimates["mean"]
    reach = [[100 * (e.value - e.low)], [100 * (e.high - e.value)]] if math.isfinite(e.low) else None
    axes.errorbar(
        arm.cost["nfe"], _score(arm), yerr=reach, color=OWN, marker="o", markersize=8, elinewidth=1.4,
        markerfacecolor=OWN if is_on_front else "white", markeredgewidth=1.6,
    )  # fmt: skip


def _names(axes: Axes, arms: list[Arm]) -> None:
    """Names beside their points; those of one cost take turns at the right and the left."""
    for arm in arms:
        peers = sorted((a for a in arms if _is_near(a, arm)), key=_score)
        is_right = peers.index(arm) % 2 == 0
        axes.annotate(
            display_name(arm.strategy, arm.oracle), (arm.cost["nfe"], _score(arm)), fontsize=10.5, va="center",
            xytext=(9 if is_right else -9, 0), textcoords="offset points", ha="left" if is_right else "right",
        )  # fmt: skip


def _is_near(one: Arm, other: Arm) -> bool:
    return abs(math.log(one.cost["nfe"] / other.cost["nfe"])) < 0.35


def _apart(costs: list[float]) -> list[float]:
    """The costs that are far enough from each other to be labelled."""
    chosen: list[float] = []
    for cost in costs:
        if not chosen or cost > 1.25 * chosen[-1]:
            chosen.append(cost)
    return chosen


def _score(arm: Arm) -> float:
    return 100 * arm.estimates["mean"].value
