"""Figure: the scorer against human raters, turn by turn."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from analysis.ablation import Ablation
from analysis.figures.style import OWN, QUIET, REFERENCE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["judge_against_human"]


def judge_against_human(result: Ablation) -> Figure | None:
    """Scatter plot of labelled turns, whose marks have areas proportional to the number of turns; None
    without labels.
    """
    found = result.agreement
    if found is None:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 5.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color=REFERENCE, linestyle=(0, (4, 2)), linewidth=1.4)
    counts = Counter((round(human, 2), round(scorer, 2)) for human, scorer in found.pairs)
    places = list(counts)
    scale = 500 / max(counts.values())
    sizes = [max(8.0, scale * count) for count in counts.values()]
    axes.scatter(
        [100 * human for human, _ in places],
        [100 * scorer for _, scorer in places],
        s=sizes,
        color=OWN,
        alpha=0.45,
        linewidths=0,
    )
    axes.set_xlim(-4, 104)
    axes.set_ylim(-4, 104)
    axes.set_aspect("equal")
    axes.grid()
    axes.set_xlabel("human score")
    axes.set_ylabel("scorer's score")
    words = (
        f"r = {found.pearson.value:.2f}, ICC(2,1) = {found.icc.value:.2f}, alpha = {found.alpha.value:.2f}"
    )
    axes.set_title(words, loc="left", fontsize=12)
    footer = f"{len(found.pairs):,} labelled turns; dashed: equal scores"
    figure.supxlabel(footer, fontsize=11, color=QUIET)
    return figure
