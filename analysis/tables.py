"""The tables of a paper, T1 to T8, built from the numbers of an analysis."""

from __future__ import annotations

import math

from analysis.ablation import Ablation, Arm
from analysis.caveats import caveat_notes
from analysis.cells import (
    count_range,
    difference,
    name_of,
    named,
    number,
    percent,
    points,
    score,
    starred,
)  # fmt: skip
from analysis.cost_tables import cost_tables, seconds_per_sample
from analysis.exposure_tables import cells, coupling, gap_by_turn, propagation, turns, wear, worst_cases
from analysis.inference import Estimate
from analysis.judge_tables import judge_tables
from analysis.layout import Table
from analysis.phrases import fixed
from analysis.remedy_tables import remedy_tables
from analysis.sensitivity import MODELS
from analysis.wording import TIERS

__all__ = ["caption", "tables"]


def caption(result: Ablation) -> str:
    """The caption of all tables: benchmark, backbone, samples, and how intervals are computed."""
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
    """The tables of a study in reading order, without the empty ones."""
    makers = (
        _main, _text, cells, worst_cases, _by_turn, gap_by_turn, _nestings, _synergies, _robustness,
        propagation, coupling, wear,
    )  # fmt: skip
    found = (
        *(make(result) for make in makers),
        *judge_tables(result),
        *cost_tables(result),
        *remedy_tables(result),
    )
    return tuple(table for table in found if table.rows)


def _main(result: Ablation) -> Table:
    has_gold = result.tier == "A"
    has_steps = any(arm.estimates["eb_step"].is_defined for arm in result.arms)
    parts = ["inherited", "lost skill"] if has_steps else []
    is_exposure = ["slope gold", "EB", "n EB (missing)", *parts, "EB reduction", "EB %"] if has_gold else []
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
        "Image turns on own history unless stated otherwise. Stars: p < .05, .01, .001 after Holm "
        "adjustment. "
        "n: samples with a score; missing: image turns that any arm planned, over all seeds, without a "
        "score; for the other columns see table T1c_cells. Step: score relative to the model's own previous "
        "image. Slopes: points per turn within dialogues; both slopes include turn 1, which has no history. "
        "Seconds: per dialogue and seed.",
        *_bounds(result),
        *caveat_notes(result.caveats),
    ]
    if has_gold:
        notes.append(
            "EB, exposure bias: gold minus own history, paired by turn, turns 2 and later. EB %: reduction "
            "as a "
            "share of the baseline's EB; n/a if the latter is below three standard errors. Stars of a "
            "reduction test points; the findings claim a reduction only if the logit scale agrees."
        )
        notes.append(
            "EB is the sum of inherited damage (earlier errors counted again at later turns) and lost skill "
            "(the gap of the step score)."
            if has_steps
            else "EB cannot be split into inherited damage and lost skill: the benchmark has no step scores."
        )
    rows = tuple(_main_row(arm, has_gold, has_steps) for arm in result.arms)
    return Table(
        name="T1_main",
        title="Image score, gain and exposure bias" if has_gold else "Image score, gain and decay",
        header=header,
        rows=rows,
        notes=tuple(notes),
    )


def _main_row(arm: Arm, has_gold: bool, has_steps: bool) -> tuple[str, ...]:
    e = arm.estimates
    parts = (_inherited(e["eb_inherited"]), difference(e["eb_step"])) if has_steps else ()
    exposure = (
        difference(e["within_slope_gold"], 2),
        difference(e["eb"]),
        f"{e['eb'].num_samples} ({e['eb'].num_missing})" if e["eb"].num_units else "-",
        *parts,
        starred(e["eb_reduction"]),
        percent(e["eb_reduction_ratio"]),
    )
    return (
        name_of(arm),
        str(e["mean"].num_samples),
        str(e["mean"].num_missing),
        score(e["mean"]),
        f"n/a: {arm.void}" if arm.void else starred(e["mean_gain"]),
        points(arm.step),
        difference(e["within_slope"], 2),
        *(exposure if has_gold else ()),
        number(arm.cost.get("nfe", math.nan), 0),
        number(seconds_per_sample(arm), 2),
    )


def _inherited(estimate: Estimate) -> str:
    return fixed(100 * estimate.value, 1, sign=True) if estimate.is_defined else "-"


def _bounds(result: Ablation) -> list[str]:
    cases = [
        f"{name_of(a)} {a.num_planned - a.num_scored} ({100 * a.bounds[0]:.1f} to {100 * a.bounds[1]:.1f})"
        for a in result.arms
        if a.num_scored < a.num_planned
    ]
    what = "Planned image turns without a score, and the mean if all of them scored 0 or all scored 100"
    return [f"{what}: {'; '.join(cases)}."] if cases else []


def _text(result: Ablation) -> Table:
    has_free = any(a.free.is_defined for a in result.arms)
    rows = tuple(
        (
            name_of(a),
            f"{a.num_text_scored}/{a.num_text_planned}",
            score(a.text),
            score(a.static),
            score(a.dynamic),
            *((score(a.free),) if has_free else ()),
        )
        for a in result.arms
        if a.num_text_planned
    )
    notes = ("Dynamic MCQ: asks about what the model itself chose to draw.", *caveat_notes(result.caveats))
    header = (
        "strategy",
        "turns scored",
        "text score",
        "static MCQ",
        "dynamic MCQ",
        *(["free text"] if has_free else []),
    )
    shown = rows if any(a.text.is_defined for a in result.arms) else ()
    return Table(name="T1b_text", title="Text score, own history", header=header, rows=shown, notes=notes)


def _by_turn(result: Ablation) -> Table:
    shown = turns(result)
    both = result.tier == "A"
    rows = [(name_of(a), *(_own_and_gold(a, t, both) for t in shown)) for a in result.arms]
    counts = ("samples", *(count_range([a.own[t].num_samples for a in result.arms]) for t in shown))
    title = "Image score by turn: own / gold history" if both else "Image score by turn, own history (decay)"
    header = ("strategy", *(f"turn {t + 1}" for t in shown))
    return Table(
        name="T2_by_turn", title=title, header=header, rows=(*rows, counts) if shown else ()
    )  # without any image score there are no turns to show, and the notes say so


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
    note = (
        "Gain of the added layers over the part, paired. Gain or loss: p < .05 after Holm adjustment over "
        "all "
        "nestings of the study; the intervals are not adjusted."
    )
    header = ("nesting", "against its part", "difference in image score", "finding")
    title = "Nestings against each part alone (additive and leave-one-out)"
    return Table(name="T3_nestings", title=title, header=header, rows=rows, notes=(note,))


def _synergies(result: Ablation) -> Table:
    rows = tuple(
        (
            named(result, s.strategy),
            " and ".join(s.parts),
            difference(s.difference) if s.difference.is_defined else f"n/a: {s.difference.reason}",
        )
        for s in result.synergies
    )
    note = "Synergy: whole minus both parts, plus the strategy without both layers; 0 if gains are additive."
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
                rows.append((name_of(arm), words, *map(_check, pair)))
    icc = next((c.estimate for c in result.checks if c.model == "icc"), None)
    notes = [
        "All values are points; those of the fractional logit are average marginal effects. Cluster: "
        f"{result.cluster}."
    ]
    if icc is not None:
        known = f"{icc.value:.2f}" if icc.is_defined else f"n/a: {icc.reason}"
        notes.append(f"Intraclass correlation of {result.baseline}'s scores within samples: {known}.")
    header = ("strategy", "model", "slope change", "EB reduction")
    return Table(
        name="T4_robustness",
        title="Robustness to the estimator",
        header=header,
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _check(estimate: Estimate | None) -> str:
    """The estimate of one model: "-" if the model does not apply, "n/a" with the reason if it has no
    estimate.
    """
    if estimate is None:
        return "-"
    return difference(estimate, 2) if estimate.is_defined else f"n/a: {estimate.reason}"


def _own_and_gold(arm: Arm, turn: int, both: bool) -> str:
    own = points(arm.own[turn])
    return f"{own} / {points(arm.gold[turn])}" if both and turn > 0 else own
