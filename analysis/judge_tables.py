"""Tables T6: judges and selectors against the scorer, and the scorer against human raters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analysis.ablation import Ablation
from analysis.cells import (
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
from analysis.claims import share
from analysis.inference import Estimate
from analysis.layout import Table
from analysis.selection import DEFAULT_THRESHOLD, LIMITS, Accuracy, Verifier

__all__ = ["judge_tables"]

BY_STEP = (
    "The score also counts errors of earlier turns, which a judge of one turn cannot see. By step: an image "
    "is "
    "perfect if it has the full step score, i.e. it carries out the turn's request on the previous image, "
    "whether or not that image has errors."
)


FIRST_ROUNDS = (
    "Inside Self-Verification only first rounds count: later rounds exist only if the judge rejected the "
    "first, so they represent hard cases only."
)


def judge_tables(result: Ablation) -> tuple[Table, ...]:
    """The tables in reading order: judges, verification, selection, scaling, agreement, human means."""
    makers = (_judges, _verifiers, _selections, _curves, _agreement, _rated)
    return tuple(maker(result) for maker in makers)


def _judges(result: Ablation) -> Table:
    rows = tuple(
        (
            name_of(arm),
            layer.layer,
            "; ".join(map(" ".join, layer.judges)) or "no judge",
            _counted(layer.num_verdicts, layer.num_unread, "unread"),
            _counted(layer.num_pools, layer.num_identical, "identical"),
        )
        for arm in result.arms
        for layer in arm.basis.layers
        if layer.judges or layer.num_pools
    )
    note = (
        "Image turns on own and gold history. Unread: the judge's reply could not be parsed, so it has no "
        "verdict. Pools: choices among two or more candidate images; identical: all images of the pool are "
        "the same. No gain is claimed for an arm if no verdict of its judge could be parsed, or if all its "
        "candidates are identical."
    )
    header = ("strategy", "layer", "judge", "verdicts", "pools")
    title = "Judges: parsed verdicts and candidate pools"
    return Table(name="T6_judges", title=title, header=header, rows=rows, notes=(note,))


def _counted(whole: int, part: int, what: str) -> str:
    return f"{whole:,} ({share(part, whole)} {what})" if whole else "-"


def _verifiers(result: Ablation) -> Table:
    has_steps = any(verifier.by_step for verifier in result.verifiers)
    rows = tuple(_verifier_row(verifier, has_steps) for verifier in result.verifiers)
    stated = sorted({v.threshold for v in result.verifiers if v.kind == "probability"})
    thresholds = " or ".join(f"{threshold:g}" for threshold in stated or (DEFAULT_THRESHOLD,))
    notes = [
        "The strategy's judge against the scorer, on every image that the judge judged on own history, later "
        "rounds included. Perfect: the scorer gives "
        f"full marks. TPR: share of perfect images that the judge accepts (verdict of {thresholds} or more); "
        "TNR: share of the other images that it rejects. ECE: expected calibration error, |verdict - score| "
        "over ten bins. Oracle arms are excluded: their judge is the scorer.",
        BY_STEP if has_steps else "By step score: n/a, the scorer gives none.",
    ]
    kinds = {verifier.kind for verifier in result.verifiers}
    notes += [sentence for kind, sentence in LIMITS.items() if kind in kinds]
    header = ("strategy", "kind", "perfect/judged", "unread", "TPR", "TNR", "AUC", "ECE")
    by_step = ("perfect by step", "TPR by step", "TNR by step", "AUC by step")
    return Table(
        name="T6_verification",
        title="Verification accuracy",
        header=header + (by_step if has_steps else ()),
        rows=rows,
        notes=tuple(notes),
    )


def _verifier_row(v: Verifier, has_steps: bool) -> tuple[str, ...]:
    unread, num_read = str(v.num_unparsable), v.num_positive + v.num_negative
    return (
        v.strategy,
        v.kind,
        f"{v.num_positive}/{num_read}",
        unread if num_read else f"{unread} (100 %)",
        *_rates(v),
        number(100 * v.calibration_error, 1),
        *(_by_step(v.by_step) if has_steps else ()),
    )


def _by_step(found: Accuracy | None) -> tuple[str, ...]:
    if found is None:
        return ("-",) * 4
    return f"{found.num_positive}/{found.num_positive + found.num_negative}", *_rates(found)


def _rates(found: Accuracy) -> tuple[str, str, str]:
    return score(found.true_positive_rate), score(found.true_negative_rate), score(found.auc)


def _selections(result: Ablation) -> Table:
    is_measured = any(s.people for s in result.selections)
    rows = tuple(
        (
            named(result, s.strategy),
            s.layer.removeprefix("oracle_"),
            str(s.num_pools),
            points(s.random),
            points(s.arm),
            points(s.best),
            score(s.regret),
            percent(s.share),
            *((s.people or "-",) if is_measured else ()),
        )
        for s in result.selections
    )
    note = (
        "All columns use the same candidates. Random: mean of the N candidates; best: the candidate with the "
        "highest score (an oracle's choice); regret: best - arm; share: (arm - random) / (best - random). "
        f"{FIRST_ROUNDS}"
    )
    people = (
        "People: agreement of the selecting judge with human preferences, in percent of the pairs without a "
        "human tie (chance: 50), and the number of these pairs; -: not measured."
    )
    header = ("strategy", "layer", "pools", "random", "arm", "best (oracle)", "regret", "share")
    return Table(
        name="T6b_selection",
        title="Selection among N candidates",
        header=(*header, "people") if is_measured else header,
        rows=rows,
        notes=(note, people) if is_measured else (note,),
    )


def _curves(result: Ablation) -> Table:
    rows = tuple(
        (
            named(result, c.strategy),
            c.layer.removeprefix("oracle_"),
            c.where,
            str(c.num_pools),
            str(rung.num_candidates),
            points(rung.random),
            points(rung.arm),
            points(rung.best),
        )
        for c in result.curves
        for rung in c.rungs
    )
    notes = (
        "Exact means over all subsets of n candidates of each pool. Only turn 1 and gold history are used, "
        f"because later turns on own history depend on the earlier choice. {FIRST_ROUNDS}",
        *_reasons(rung.arm for curve in result.curves for rung in curve.rungs),
    )
    header = ("strategy", "layer", "where", "pools", "n", "random", "arm", "best (oracle)")
    title = "Image score over the number of candidates"
    return Table(name="T6c_scaling", title=title, header=header, rows=rows, notes=notes)


def _reasons(estimates: Iterable[Estimate]) -> Iterator[str]:
    """Notes with the reasons why some estimates are undefined, each reason once."""
    for reason in dict.fromkeys(estimate.reason for estimate in estimates if not estimate.is_defined):
        yield f"-: n/a, {reason}."


def _agreement(result: Ablation) -> Table:
    found = result.agreement
    name, title = "T6d_agreement", "The scorer against human raters"
    if found is None:
        return Table(name=name, title=title, header=("measure",), rows=())
    measures = {
        "Pearson's r": found.pearson,
        "ICC(2,1)": found.icc,
        "Krippendorff's alpha (ordinal)": found.alpha,
    }
    rows = [(words, str(e.num_units), plain(e)) for words, e in measures.items()]
    rows.append(("scorer minus human (points)", str(found.bias.num_units), difference(found.bias)))
    return Table(name=name, title=title, header=("measure", "labelled turns", "value"), rows=tuple(rows))


def _rated(result: Ablation) -> Table:
    rows = tuple(
        (name_of(a), str(e["human_mean"].num_units), score(e["human_mean"]), starred(e["human_gain"]))
        for a in result.arms
        if (e := a.estimates)["human_mean"].is_defined
    )
    note = "PPI++: the mean of the labelled turns, made more precise by the scorer's scores of all turns."
    header = ("strategy", "labelled turns", "human mean", "human gain")
    title = "Image score of human raters"
    return Table(name="T6e_human", title=title, header=header, rows=rows, notes=(note,))
