"""The tables of a paper, T1 to T8, from the numbers of an analysis."""

from __future__ import annotations

import math

from analysis.ablation import Ablation, Arm
from analysis.cells import (
    count_range,
    difference,
    name_of,
    named,
    number,
    percent,
    plain,
    points,
    score,
    starred,
)
from analysis.inference import Estimate
from analysis.judge_tables import judge_tables
from analysis.layout import Table
from analysis.sensitivity import MODELS
from analysis.wording import TIERS

__all__ = ["caption", "tables"]


def caption(result: Ablation) -> str:
    """What was measured on what, and how the intervals come about."""
    classes = ", ".join(f"{count} {name}" for name, count in result.samples_by_class.items())
    seeds = f"seed{'s' if len(result.seeds) > 1 else ''} {', '.join(map(str, result.seeds))}"
    return (
        f"Benchmark {result.benchmark}; backbone {result.backbone}. "
        f"n = {result.num_samples} samples ({classes}), {seeds}, {result.num_runs} runs. "
        f"Scores are x 100. Seeds are averaged within (sample, turn), and each turn has equal weight. "
        f"In brackets: 95 % intervals, CR1 t by cluster (cluster = {result.cluster}); of mean scores and "
        f"shares, Wilson's with that standard error, inside 0 to 100; of ratios, "
        f"percentiles of a paired bootstrap stratified by class (B = {result.resamples:,}, "
        f"seed {result.bootstrap_seed}). Evidence tier {result.tier}: {TIERS[result.tier]}."
    )


def tables(result: Ablation) -> tuple[Table, ...]:
    """The tables of a study, in reading order; those with nothing to show are left out."""
    makers = (_main, _text, _by_turn, _gap_by_turn, _nestings, _synergies, _robustness, _propagation)
    later = (_by_class, _by_domain, _by_task, _compute, _efficiency, _ladders)
    found = (*(m(result) for m in makers), *judge_tables(result), *(m(result) for m in later))
    return tuple(table for table in found if table.rows)


def _main(result: Ablation) -> Table:
    has_gold = result.tier == "A"
    is_exposure = ["slope gold", "EB", "EB reduction", "EB %"] if has_gold else []
    against = f"gain over {result.baseline}" if result.baseline else "gain"
    header = (
        "strategy",
        "n",
        "missing",
        "mean",
        against,
        "step",
        "slope own",
        *is_exposure,
        "NFE",
        "s per sample",
    )
    notes = [
        "Image turns, own history unless stated. Stars: p < .05, .01, .001 after Holm's adjustment. "
        "Missing: image turns of the design without a score. Step: score relative to the model's own "
        "previous image. Slopes: points per turn within dialogues.",
        *_bounds(result),
    ]
    if has_gold:
        notes.append(
            "EB, exposure bias: gold less own history, paired by turn, turns 2 and later. EB %: the "
            "reduction's share of the baseline's EB, where that exceeds three standard errors, else n/a."
        )
    rows = tuple(_main_row(arm, has_gold) for arm in result.arms)
    return Table(
        name="T1_main",
        title="Image score, gain and exposure bias" if has_gold else "Image score, gain and decay",
        header=header,
        rows=rows,
        notes=tuple(notes),
    )


def _main_row(arm: Arm, has_gold: bool) -> tuple[str, ...]:
    e = arm.estimates
    exposure = (
        difference(e["within_slope_gold"], 2),
        difference(e["eb"]),
        starred(e["eb_reduction"]),
        percent(e["eb_reduction_ratio"]),
    )
    return (
        name_of(arm),
        str(arm.num_samples),
        str(e["mean"].num_missing),
        score(e["mean"]),
        f"n/a: {arm.void}" if arm.void else starred(e["mean_gain"]),
        points(arm.step),
        difference(e["within_slope"], 2),
        *(exposure if has_gold else ()),
        number(arm.cost.get("nfe", math.nan), 0),
        number(_seconds_per_sample(arm), 2),
    )


def _bounds(result: Ablation) -> list[str]:
    cases = [
        f"{name_of(a)} {a.num_planned - a.num_scored} ({100 * a.bounds[0]:.1f} to {100 * a.bounds[1]:.1f})"
        for a in result.arms
        if a.num_scored < a.num_planned
    ]
    what = "Image turns planned and not scored, and the mean if all of them were 0 or all 100"
    return [f"{what}: {'; '.join(cases)}."] if cases else []


def _text(result: Ablation) -> Table:
    rows = tuple(
        (
            name_of(a),
            f"{a.num_text_scored}/{a.num_text_planned}",
            score(a.text),
            score(a.static),
            score(a.dynamic),
        )
        for a in result.arms
        if a.num_text_planned
    )
    note = "Dynamic MCQ: asks for what the model itself chose to draw."
    header = ("strategy", "turns scored", "text score", "static MCQ", "dynamic MCQ")
    shown = rows if any(a.text.is_defined for a in result.arms) else ()
    return Table(name="T1b_text", title="Text score, own history", header=header, rows=shown, notes=(note,))


def _by_turn(result: Ablation) -> Table:
    shown = _turns(result)
    both = result.tier == "A"
    rows = tuple((name_of(a), *(_own_and_gold(a, t, both) for t in shown)) for a in result.arms)
    counts = tuple(count_range([a.own[t].num_samples for a in result.arms]) for t in shown)
    title = "Image score by turn: own / gold history" if both else "Image score by turn, own history (decay)"
    header = ("strategy", *(f"turn {t + 1}" for t in shown))
    return Table(name="T2_by_turn", title=title, header=header, rows=(*rows, ("samples", *counts)))


def _gap_by_turn(result: Ablation) -> Table:
    shown = [t for t in _turns(result) if any(a.gaps[t].is_defined for a in result.arms)]
    arms = [a for a in result.arms if a.estimates["eb"].is_defined]
    rows = [(name_of(a), *(difference(a.gaps[t]) for t in shown)) for a in arms]
    counts = ("samples", *(count_range([a.gaps[t].num_samples for a in arms]) for t in shown))
    header = ("strategy", *(f"EB({t + 1})" for t in shown))
    title = "Exposure bias by turn: gold less own history"
    return Table(name="T2b_gap_by_turn", title=title, header=header, rows=(*rows, counts) if rows else ())


def _nestings(result: Ablation) -> Table:
    words = {"gain": "gain", "none": "none shown", "loss": "LOSS"}
    rows = tuple(
        (
            named(result, n.strategy),
            n.part,
            difference(n.difference),
            f"n/a: {n.void}" if n.void else words[n.finding],
        )
        for n in result.nestings
    )
    note = "What the layers add to the part. Gain or loss: the interval of the paired difference excludes 0."
    header = ("nesting", "against its part", "difference in image score", "finding")
    title = "Nestings against each part alone (additive and leave-one-out)"
    return Table(name="T3_nestings", title=title, header=header, rows=rows, notes=(note,))


def _synergies(result: Ablation) -> Table:
    rows = tuple(
        (named(result, s.strategy), " and ".join(s.parts), difference(s.difference)) for s in result.synergies
    )
    note = "Synergy: whole less both parts, plus the baseline; 0 when gains add up."
    header = ("nesting", "parts", "synergy in image score")
    return Table(name="T3b_synergy", title="Synergy of two layers", header=header, rows=rows, notes=(note,))


def _robustness(result: Ablation) -> Table:
    strategies = [a for a in result.arms if any(c.strategy == a.strategy for c in result.checks)]
    found = {(c.strategy, c.estimand, c.model): c.estimate for c in result.checks}
    rows = []
    for arm in strategies:
        for model, words in MODELS.items():
            pair = [found.get((arm.strategy, e, model)) for e in ("slope_change", "eb_reduction")]
            if any(pair):
                rows.append((name_of(arm), words, *(difference(e, 2) if e else "-" for e in pair)))
    icc = next((c.estimate.value for c in result.checks if c.model == "icc"), math.nan)
    notes = ["All in points; the fractional logit as average marginal effects."]
    if math.isfinite(icc):
        notes.append(f"Intraclass correlation of {result.baseline}'s scores within samples: {icc:.2f}.")
    header = ("strategy", "model", "slope change", "EB reduction")
    return Table(
        name="T4_robustness",
        title="Robustness to the estimator",
        header=header,
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _propagation(result: Ablation) -> Table:
    rows = tuple(
        (
            named(result, p.strategy),
            "second scorer pass" if p.is_instrumented else "none (attenuated)",
            plain(p.slope),
        )
        for p in result.propagation
        if p.slope.is_defined
    )
    note = (
        "Points by which the gap at the next image turn grows per point of error at this one. Without a "
        "second pass of the scorer as instrument, its noise pulls the slope to 0: a lower bound."
    )
    header = ("strategy", "instrument", "slope")
    return Table(
        name="T5_propagation", title="Propagation of errors", header=header, rows=rows, notes=(note,)
    )


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
    note = "Exploratory: stars after Benjamini and Hochberg's adjustment over the whole table."
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
        "What an image turn asked for, whether or not a journal served it; seconds are time in the model. "
        "The generator's and the judge's stand apart; images and NFE are the sum of both. Pareto: no "
        "strategy scores as high at the same NFE or less."
    )
    header = ("strategy", *known, "Pareto")
    shown = rows if known else ()
    return Table(name="T8_compute", title="Cost per image turn", header=header, rows=shown, notes=(note,))


def _efficiency(result: Ablation) -> Table:
    rows = tuple(
        (name_of(a), _gain_per(e.per_nfe, 100), _gain_per(e.per_token, 1000), _gain_per(e.per_second, 1))
        for a in result.arms
        if (e := a.efficiency) and (e.per_nfe.is_defined or e.per_second.is_defined)
    )
    note = "Points gained per unit of cost beyond the baseline's."
    header = ("strategy", "per 100 NFE", "per 1,000 tokens", "per second")
    title = "Gain per unit of cost"
    return Table(name="T8b_efficiency", title=title, header=header, rows=rows, notes=(note,))


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
    note = "Slope of the image score on log2 N, on the cells that every N has."
    header = ("strategies", "N", "n", "points per doubling of N")
    title = "Gain per doubling of the number of candidates"
    return Table(name="T8c_doubling", title=title, header=header, rows=rows, notes=(note,))


def _gain_per(estimate: Estimate, units: float) -> str:
    return number(100 * units * estimate.value, 2)


def _on_front(result: Ablation, arm: Arm) -> str:
    return "yes" if arm.strategy in result.pareto_front else "-"


def _seconds_per_sample(arm: Arm) -> float:
    parts = [arm.cost.get(f"{who}_seconds", math.nan) for who in ("generator", "judge")]
    known = [part for part in parts if math.isfinite(part)]
    if not known or not arm.num_samples:
        return math.nan
    return sum(known) * arm.num_scored / arm.num_samples


def _turns(result: Ablation) -> list[int]:
    last = max((len(a.own) for a in result.arms), default=0)
    return [t for t in range(last) if any(a.own[t].is_defined for a in result.arms)]


def _own_and_gold(arm: Arm, turn: int, both: bool) -> str:
    own = points(arm.own[turn])
    return f"{own} / {points(arm.gold[turn])}" if both and turn > 0 else own
