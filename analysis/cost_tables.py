"""Tables T7 (gains within groups of dialogues) and T8 (cost of the gains)."""

from __future__ import annotations

import math

from analysis.ablation import Ablation, Arm
from analysis.cells import difference, name_of, named, number, starred
from analysis.inference import Estimate
from analysis.layout import Table
from analysis.phrases import fixed

__all__ = ["cost_tables", "seconds_per_sample"]


def cost_tables(result: Ablation) -> tuple[Table, ...]:
    """The tables in reading order. A table without content has no rows."""
    makers = (_by_class, _by_domain, _by_task, _compute, _efficiency, _ladders)
    return tuple(make(result) for make in makers)


def seconds_per_sample(arm: Arm) -> float:
    """Model seconds of generator and judge for one dialogue with one seed; NaN if unknown."""
    parts = [arm.cost.get(f"{who}_seconds", math.nan) for who in ("generator", "judge")]
    known = [part for part in parts if math.isfinite(part)]
    if not known or not arm.num_dialogues:
        return math.nan
    return sum(known) * arm.num_scored / arm.num_dialogues


def _by_class(result: Ablation) -> Table:
    return _groups(result, "class", "T7_by_class")


def _by_domain(result: Ablation) -> Table:
    return _groups(result, "domain", "T7b_by_domain")


def _by_task(result: Ablation) -> Table:
    return _groups(result, "task", "T7c_by_task")


def _groups(result: Ablation, level: str, name: str) -> Table:
    found = [g for g in result.groups if g.level == level]
    has_gold = any(g.reduction.is_defined for g in found)
    rows = tuple(
        (
            named(result, g.strategy),
            g.name,
            str(g.gain.num_samples),
            starred(g.gain),
            *((starred(g.reduction),) if has_gold else ()),
        )
        for g in found
    )
    note = "Exploratory: stars after Benjamini-Hochberg adjustment within each column of the table."
    header = (
        "strategy",
        level,
        "n",
        f"gain over {result.baseline}",
        *(("EB reduction",) if has_gold else ()),
    )
    title = f"Gain by {level} (exploratory)"
    return Table(name=name, title=title, header=header, rows=rows, notes=(note,))


def _compute(result: Ablation) -> Table:
    columns = {
        "images": ("images", 2),
        "NFE": ("nfe", 1),
        "new tokens": ("generator_tokens", 1),
        "judge tokens": ("judge_tokens", 1),
        "seconds": ("generator_seconds", 4),
        "judge seconds": ("judge_seconds", 4),
    }
    known = {
        head: (field, digits)
        for head, (field, digits) in columns.items()
        if any(math.isfinite(a.cost.get(field, math.nan)) for a in result.arms)
    }
    rows = tuple(
        (
            name_of(a),
            *(number(a.cost.get(f, math.nan), digits) for f, digits in known.values()),
            _on_front(result, a),
        )
        for a in result.arms
    )
    note = (
        "Mean cost of all calls of an answered image turn, calls served by the journal included; seconds are "
        "time in the model. Tokens and seconds of generator and judge are separate columns; images and NFE "
        "are the sum of both. Pareto: no other strategy scores as high at the same NFE or less, on the cells "
        "that all compared strategies have scores in; n/a: an oracle, an arm without claims, or an arm that "
        "was run on other dialogues."
    )
    header = ("strategy", *known, "Pareto")
    shown = rows if known else ()
    return Table(name="T8_compute", title="Cost per image turn", header=header, rows=shown, notes=(note,))


def _efficiency(result: Ablation) -> Table:
    rows = tuple(
        (name_of(a), _gain_per(e.per_nfe, 100), _gain_per(e.per_token, 1000), _gain_per(e.per_second, 1))
        for a in result.arms
        if (e := a.efficiency)
    )
    note = (
        "Points gained per unit of extra cost over the baseline, on the cells that both answered; percentile "
        "intervals. -: the extra cost is not above three times its standard error. Seconds are wall-clock: "
        "where an arm asks for no more NFE and tokens (-), they say how busy the machine was, no more."
    )
    header = ("strategy", "per 100 NFE", "per 1,000 tokens", "per second")
    title = "Gain per unit of cost"
    shown = rows if any(cell != "-" for row in rows for cell in row[1:]) else ()
    return Table(name="T8b_efficiency", title=title, header=header, rows=shown, notes=(note,))


def _ladders(result: Ablation) -> Table:
    rows = tuple(
        (
            x.family,
            ", ".join(map(str, x.rungs.values())),
            str(x.gain_per_doubling.num_samples),
            difference(x.gain_per_doubling),
        )
        for x in result.ladders
    )
    note = "Slope of the image score on log2 N, on the cells that have scores for every N."
    header = ("strategies", "N", "n", "points per doubling of N")
    title = "Gain per doubling of the number of candidates"
    return Table(name="T8c_doubling", title=title, header=header, rows=rows, notes=(note,))


def _gain_per(estimate: Estimate, units: float) -> str:
    if not estimate.is_defined:
        return "-"
    ends = [fixed(100 * units * end, 2) for end in (estimate.low, estimate.high) if math.isfinite(end)]
    return number(100 * units * estimate.value, 2) + (f" [{', '.join(ends)}]" if ends else "")


def _on_front(result: Ablation, arm: Arm) -> str:
    if arm.strategy not in result.rivals:
        return "n/a"
    return "yes" if arm.strategy in result.pareto_front else "-"
