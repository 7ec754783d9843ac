"""Tables T1c, T1d, T2b and T5: sample sizes, worst cases, parts of the exposure gap, and error
propagation.
"""

from __future__ import annotations

from collections.abc import Iterator

from analysis.ablation import Ablation, Arm
from analysis.bounds import Bounds
from analysis.cells import count_range, difference, name_of, named, number, plain, starred
from analysis.inference import Estimate
from analysis.layout import Table
from analysis.phrases import fixed
from analysis.wear import Wear

__all__ = ["cells", "coupling", "gap_by_turn", "propagation", "turns", "wear", "worst_cases"]

_KINDS = {"text": "all", "static": "static MCQ", "dynamic": "dynamic MCQ", "free": "free text"}


def cells(result: Ablation) -> Table:
    """Table T1c: the sample size and the number of missing turns of each column of T1."""
    columns = {
        "mean": "mean", "mean_gain": "gain", "within_slope": "slope own", "within_slope_gold": "slope gold",
        "eb": "EB", "eb_step": "lost skill", "eb_reduction": "EB reduction",
    }  # fmt: skip
    shown = [name for name in columns if any(arm.estimates[name].is_defined for arm in result.arms)]
    rows = tuple((name_of(arm), *(_cells(arm.estimates[name]) for name in shown)) for arm in result.arms)
    note = (
        "Samples / cells (sample, turn) used for the number; in brackets the planned turns, over all seeds, "
        "whose score is missing. Slopes use dialogues with two image turns or more."
    )
    return Table(
        name="T1c_cells",
        title="Sample sizes and missing turns of each column",
        header=("strategy", *(columns[name] for name in shown)),
        rows=rows,
        notes=(note,),
    )


def worst_cases(result: Ablation) -> Table:
    """Table T1d: bounds of means, gaps and reductions of the strategies with missing turns."""
    rows = tuple(
        (
            name_of(arm),
            *_bounded(arm.estimates["mean"], arm.mean_bounds),
            *_bounded(arm.estimates["eb"], arm.eb_bounds),
            *_bounded(arm.estimates["eb_reduction"], arm.eb_reduction_bounds),
        )
        for arm in result.arms
        if any(_lacks_turns(arm.estimates[name]) for name in ("mean", "eb", "eb_reduction"))
    )
    note = (
        "Least and greatest possible value over all possible scores of the missing turns, also of those that "
        "only other arms planned. On own history the missing turns would have scored worst, so the estimated "
        "gaps are biased towards 0."
    )
    names = ("mean", "EB", "EB reduction")
    header = (
        "strategy",
        *(word for name in names for word in (f"missing, {name}", f"{name}: least, greatest")),
    )
    title = "Worst-case bounds for missing turns"
    return Table(name="T1d_worst_cases", title=title, header=header, rows=rows, notes=(note,))


def gap_by_turn(result: Ablation) -> Table:
    """Table T2b: EB(t), followed by the part of it that is lost skill."""
    shown = [t for t in turns(result) if any(a.gaps[t].is_defined for a in result.arms)]
    arms = [a for a in result.arms if a.estimates["eb"].is_defined]
    rows = [row for arm in arms for row in _gap_rows(arm, shown)]
    counts = ("samples", *(count_range([a.gaps[t].num_samples for a in arms]) for t in shown), "")
    header = ("strategy", *(f"EB({t + 1})" for t in shown), "all turns")
    has_steps = any(a.estimates["eb_step"].is_defined for a in arms)
    note = (
        "Lost skill: the gap of the step score (the turn's request relative to the previous image). The rest "
        "of EB is inherited damage: earlier errors that are counted again."
        if has_steps
        else "Lost skill and inherited damage: n/a, the benchmark has no step scores."
    )
    title = "Exposure bias by turn: gold minus own history"
    shown_rows = (*rows, counts) if rows else ()
    return Table(name="T2b_gap_by_turn", title=title, header=header, rows=shown_rows, notes=(note,))


def propagation(result: Ablation) -> Table:
    """Table T5: how errors at one image turn are associated with the gap at the next."""
    rows = tuple(
        (
            named(result, p.strategy),
            str(p.slope.num_samples),
            str(p.slope.num_units),
            str(p.slope.num_missing),
            "second scorer pass" if p.is_instrumented else "none (attenuated)",
            plain(p.slope) if p.slope.is_defined else f"n/a: {p.slope.reason}",
        )
        for p in result.propagation
    )
    note = (
        "Association of the gap at an image turn with the new error at the previous image turn, in points "
        "per point, with the turn held fixed. A constant loss of a dialogue on own history is removed. "
        "Confounding remains: a dialogue that fails for another reason fails at both turns. Without a second "
        "pass of the scorer, scorer noise attenuates the slope towards 0. Missing: pairs without a score."
    )
    header = ("strategy", "n", "pairs", "missing", "instrument", "slope")
    title = "Errors at adjacent image turns"
    return Table(name="T5_propagation", title=title, header=header, rows=rows, notes=(note,))


def coupling(result: Ablation) -> Table:
    """Table T5b: how errors of images affect text answers."""
    kinds = {c.kind for c in result.coupling} - {"text"}
    rows = tuple(
        (
            named(result, c.strategy),
            _KINDS[c.kind],
            f"{c.gap.num_samples} / {c.slope.num_samples}",
            starred(c.gap),
            plain(c.slope) if c.slope.is_defined else "n/a",
        )
        for c in result.coupling
        if c.kind != "text" or len(kinds) > 1
    )
    note = (
        "Gap: text score on gold minus own history, paired, in points. Slope: points of text score per point "
        "of error of the latest own image before it, within dialogues; an association, because both text and "
        "image turns get harder later. n: dialogues of the gap / of the slope, which needs ten dialogues "
        "with two such turns. Stars after Holm adjustment over strategies. A wrong image makes static "
        "questions "
        "harder; dynamic questions are keyed to what was actually drawn."
    )
    header = ("strategy", "text turns", "n", "gap", "slope")
    title = "Coupling: how errors of images affect text answers"
    return Table(name="T5b_coupling", title=title, header=header, rows=rows, notes=(note,))


def wear(result: Ablation) -> Table:
    """Table T5c: whether scores fall with the number of own images or with the number of other turns."""
    rows = tuple(_wear_row(named(result, w.strategy), w) for w in result.wear)
    reasons = dict.fromkeys(w.per_image.reason for w in result.wear if not w.per_image.is_defined)
    note = (
        "Change of the image score on own history per earlier turn, in points, within dialogues: per own "
        "image with the number of other turns held fixed, and the reverse. Stars after Holm adjustment over "
        "strategies. Correlation: between the two counts within dialogues. Later turns may also be harder."
    )
    header = ("strategy", "per own image", "per other turn", "difference", "correlation")
    title = "Score change per earlier own image and per earlier other turn"
    notes = (note, *(f"n/a: {reason}." for reason in reasons))
    return Table(name="T5c_wear", title=title, header=header, rows=rows, notes=notes)


def turns(result: Ablation) -> list[int]:
    """The turns, counted from 0, at which any strategy has an image score on own history."""
    last = max((len(a.own) for a in result.arms), default=0)
    return [t for t in range(last) if any(a.own[t].is_defined for a in result.arms)]


def _cells(estimate: Estimate) -> str:
    if not estimate.num_units:
        return "-"
    return f"{estimate.num_samples} / {estimate.num_units} ({estimate.num_missing})"


def _lacks_turns(estimate: Estimate) -> bool:
    """Whether turns are missing from a number that is there; without gold runs there is no gap to bound."""
    return estimate.is_defined and estimate.num_missing > 0


def _bounded(estimate: Estimate, bounds: Bounds) -> tuple[str, str]:
    if not estimate.is_defined:
        return "-", "-"
    share = f"{fixed(100 * estimate.share_missing, 1)} %"
    return share, ", ".join(number(100 * end, 1) for end in bounds)


def _gap_rows(arm: Arm, shown: list[int]) -> Iterator[tuple[str, ...]]:
    yield name_of(arm), *(difference(arm.gaps[t]) for t in shown), difference(arm.estimates["eb"])
    if arm.estimates["eb_step"].is_defined:
        steps = (difference(arm.step_gaps[t]) for t in shown)
        yield f"{name_of(arm)}: lost skill", *steps, difference(arm.estimates["eb_step"])


def _wear_row(name: str, found: Wear) -> tuple[str, ...]:
    known = (found.per_image, found.per_other, found.difference)
    cells = (starred(e, 2) if e.is_defined else "n/a" for e in known)
    return name, *cells, number(found.correlation, 2)
