"""The figure of a study: image score over turns, own against gold history, one panel per strategy."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from analysis.ablation import Ablation, Arm
from analysis.cells import display_name
from analysis.figures.effects import known_points
from analysis.figures.style import GOLD, GOLD_INK, OWN, QUIET, REFERENCE, short
from analysis.inference import Estimate
from analysis.names import layers, setting_of, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["scores_over_turns"]

_TITLE_WIDTH = 22


def scores_over_turns(result: Ablation) -> Figure | None:
    """Image score over turns, own against gold history, one panel per strategy; None without scores."""
    arms = [arm for arm in result.arms if arm.estimates["mean"].is_defined]
    return _figure(result, arms) if arms else None


def _figure(result: Ablation, arms: Sequence[Arm]) -> Figure:
    from matplotlib.figure import Figure

    rows = math.ceil(len(arms) / 5)
    columns = math.ceil(len(arms) / rows)
    figure = Figure(figsize=(max(6.5, 2.67 * columns), 1.9 + 2.8 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    reference = _reference(result, arms)
    for panel, arm in zip(panels, arms, strict=False):
        _panel(panel, arm, reference)
    for panel in panels[len(arms) :]:
        panel.set_visible(False)
    _axes(panels, arms, columns)
    _words(figure, panels, result, arms)
    return figure


def _panel(panel: Axes, arm: Arm, reference: Arm | None) -> None:
    if reference is not None and reference is not arm:
        turns, values = known_points(reference.own)
        panel.plot(turns, values, color=REFERENCE, linewidth=1.4, linestyle=(0, (4, 2)), zorder=1)
    if arm.estimates["eb"].is_defined:
        _curve(panel, arm.gold, GOLD, "s")
    _curve(panel, arm.own, OWN, "o")
    title = _title(arm)
    size = 13 if max(map(len, title.split("\n"))) <= _TITLE_WIDTH else 10
    panel.set_title(title, fontsize=size, fontweight="bold", loc="left")
    background = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    where = panel.transAxes
    panel.text(0.03, 0.04, _numbers(arm), transform=where, fontsize=10.5, linespacing=1.35, bbox=background)
    panel.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    panel.set_axisbelow(True)


def _curve(panel: Axes, estimates: Sequence[Estimate], color: str, marker: str) -> None:
    turns, values = known_points(estimates)
    low = [100 * estimates[t - 1].low for t in turns]
    high = [100 * min(1.0, estimates[t - 1].high) for t in turns]
    panel.fill_between(turns, low, high, color=color, alpha=0.2, linewidth=0)
    panel.plot(turns, values, color=color, marker=marker, markersize=5.5, linewidth=2.4)


def _title(arm: Arm) -> str:
    """The strategy's label, broken between layers and at knobs, and below it the settings that distinguish
    the arm.
    """
    name = " +\u00a0".join(_breakable(layer) for layer in layers(arm.strategy))
    lines = textwrap.wrap(short(display_name(name, arm.oracle)), _TITLE_WIDTH, break_long_words=False)
    settings = (f"@ {short(setting)}" for setting in setting_of(arm.strategy).split())
    return "\n".join([*lines, *settings])


def _breakable(layer: str) -> str:
    """The layer's label with spaces where a line may break."""
    spaced = layer.replace(",", ", ")
    return spaced.replace("[", " [", 1) if len(layer) > _TITLE_WIDTH else spaced


def _numbers(arm: Arm) -> str:
    mean, gap = f"mean {_points(arm.estimates['mean'])}", arm.estimates["eb"]
    if not gap.is_defined:
        return mean
    interval = f" [{100 * gap.low:.1f}, {100 * gap.high:.1f}]" if math.isfinite(gap.low) else ""
    return f"{mean}\ngap {_points(gap)}{interval}"


def _points(estimate: Estimate) -> str:
    return f"{100 * estimate.value + 0.0:.1f}"


def _axes(panels: Sequence[Axes], arms: Sequence[Arm], columns: int) -> None:
    turns = [
        t for t in range(1, len(arms[0].own) + 1) if any(math.isfinite(a.own[t - 1].value) for a in arms)
    ]
    panels[0].set_ylim(*_limits(arms))
    panels[0].set_yticks(_ticks(panels[0]))
    panels[0].set_xticks(turns)
    panels[0].set_xlim(turns[0] - 0.35, turns[-1] + 0.35)
    for panel in panels[max(0, len(arms) - columns) : len(arms)]:
        panel.tick_params(labelbottom=True)
        for turn in turns:
            panel.annotate(
                str(_num_samples(arms, turn)),
                (turn, 0),
                xytext=(0, -23),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=9.5,
                color=QUIET,
            )


def _ticks(panel: Axes) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    low, _ = panel.get_ylim()
    found = MaxNLocator(nbins=6, steps=[1, 2, 4, 5, 10]).tick_values(low, 100)
    return [tick for tick in found if max(0, low) <= tick <= 100]


def _limits(arms: Sequence[Arm]) -> tuple[float, float]:
    """Limits of the y-axis, with room below for the numbers and above for a label in the first panel."""
    lowest = min(end for arm in arms for end in _ends((*arm.own, *arm.gold), "low"))
    highest = max(_ends((*arms[0].own, *arms[0].gold), "high"))
    span = 110 - lowest
    return lowest - 0.35 * span, max(102.0, highest + 0.15 * span)


def _ends(estimates: Sequence[Estimate], end: Literal["low", "high"]) -> list[float]:
    known = (e for e in estimates if math.isfinite(e.value))
    return [100 * (bound if math.isfinite(bound := getattr(e, end)) else e.value) for e in known]


def _num_samples(arms: Sequence[Arm], turn: int) -> int:
    """The number of samples with an image at this turn; the minimum over the arms."""
    return min(arm.own[turn - 1].num_samples for arm in arms)


def _words(figure: Figure, panels: Sequence[Axes], result: Ablation, arms: Sequence[Arm]) -> None:
    title = f"Image score over turns: {short_name(result.backbone)} on {short_name(result.benchmark)}"
    figure.suptitle(
        textwrap.fill(title, int(6.8 * figure.get_figwidth())),
        x=0.01,
        ha="left",
        fontsize=17,
        fontweight="bold",
    )
    figure.supylabel("image score", fontsize=13)
    reference = _reference(result, arms)
    labeled = None if reference is None else _below_own(arms, reference)
    if reference is not None and labeled is not None:
        turns, values = known_points(reference.own)
        _label(panels[labeled], turns[-1], values[-1], f"{short(reference.strategy)}, own", QUIET, below=True)
    footer = ["turn (below it: samples with an image at that turn)", "bands: 95 % intervals"]
    if reference is not None and labeled is None and len(arms) > 1:
        footer.append(f"dashed: {short(reference.strategy)}, own history")
    if result.tier == "A":
        footer.append("gap: gold minus own history, mean over turns 2 and later")
    width = int(11 * figure.get_figwidth())
    figure.supxlabel(textwrap.fill("; ".join(footer), width), fontsize=11.5, color=QUIET)
    _label(panels[0], *_end(arms[0].own, "low"), "own history", OWN, below=True)
    if arms[0].estimates["eb"].is_defined:
        _label(panels[0], *_end(arms[0].gold, "high"), "gold history", GOLD_INK, below=False)


def _reference(result: Ablation, arms: Sequence[Arm]) -> Arm | None:
    return next((arm for arm in arms if arm.strategy == result.baseline), None)


def _below_own(arms: Sequence[Arm], reference: Arm) -> int | None:
    """The first panel in which the reference lies below the later half of the strategy's own curve; None if
    there is none.
    """
    half = len(reference.own) // 2
    for index, arm in enumerate(arms):
        pairs = zip(arm.own[half:], reference.own[half:], strict=True)
        if arm is not reference and not any(own.value <= other.value for own, other in pairs):
            return index
    return None


def _end(estimates: Sequence[Estimate], side: Literal["low", "high"]) -> tuple[int, float]:
    """The last turn of a curve, and the edge of its band over the last two turns."""
    turns, _ = known_points(estimates)
    edges = _ends(estimates[max(0, turns[-1] - 2) : turns[-1]], side)
    return turns[-1], min(edges) if side == "low" else max(edges)


def _label(panel: Axes, turn: int, score: float, text: str, color: str, *, below: bool) -> None:
    """Write the name of a curve at its right end."""
    panel.annotate(
        text,
        (turn, score),
        xytext=(3, -5 if below else 5),
        textcoords="offset points",
        ha="right",
        va="top" if below else "bottom",
        color=color,
        fontsize=12,
        fontweight="bold",
    )
