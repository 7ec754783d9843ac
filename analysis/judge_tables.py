"""Table T6: judges and selectors against the scorer, and the scorer against human raters."""

from __future__ import annotations

from collections.abc import Iterator

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
from analysis.layout import Table
from analysis.selection import DEFAULT_THRESHOLD, LIMITS, Verifier

__all__ = ["judge_tables"]


def judge_tables(result: Ablation) -> tuple[Table, ...]:
    """Judges, verification, selection, scaling over candidates, agreement with human raters, their means."""
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
        "Image turns on own and gold history. Unread: verdicts that could not be read from the judge's "
        "replies, which rank nothing. Pools: choices among two candidate images or more; identical: all of "
        "them are the same image. No gain is claimed of an arm whose judge read nothing, or whose "
        "candidates are all identical."
    )
    header = ("strategy", "layer", "judge", "verdicts", "pools")
    title = "Judges, and what they could read and choose among"
    return Table(name="T6_judges", title=title, header=header, rows=rows, notes=(note,))


def _counted(whole: int, part: int, what: str) -> str:
    return f"{whole:,} ({share(part, whole)} {what})" if whole else "-"


def _verifiers(result: Ablation) -> Table:
    rows = tuple(row for verifier in result.verifiers for row in _verifier_rows(verifier))
    stated = sorted({v.threshold for v in result.verifiers if v.kind == "probability"})
    thresholds = " or ".join(f"{threshold:g}" for threshold in stated or (DEFAULT_THRESHOLD,))
    notes = [
        "The strategy's judge against the scorer, on every image that it judged. TPR: perfect images that it "
        f"accepts (verdict of {thresholds} or more); TNR: others that it rejects. ECE: calibration error, "
        "|verdict - score| over ten bins. Oracle arms are left out: their judge is the scorer.",
        _perfect(result),
    ]
    kinds = {verifier.kind for verifier in result.verifiers}
    notes += [sentence for kind, sentence in LIMITS.items() if kind in kinds]
    header = ("strategy", "kind", "perfect/judged", "unread", "perfect by", "TPR", "TNR", "AUC", "ECE")
    return Table(
        name="T6_verification",
        title="Verification accuracy",
        header=header,
        rows=rows,
        notes=tuple(notes),
    )


def _perfect(result: Ablation) -> str:
    """What counts as a perfect image, and why there are two answers."""
    by_score = "Perfect by score: the scorer gives full marks to the picture as it stands"
    if not any(verifier.by_step for verifier in result.verifiers):
        return f"{by_score}. Perfect by step: n/a, the scorer gives no step scores."
    return (
        f"{by_score}, so damage of earlier turns counts against a judge that looks at its own turn. Perfect by "
        "step: full step score; the turn's request was carried out without a fault on the picture before, "
        "damaged or not."
    )


def _verifier_rows(v: Verifier) -> Iterator[tuple[str, ...]]:
    unread = str(v.num_unparsable)
    for words, found in {"score": v, "step": v.by_step}.items():
        if found:
            num_read = found.num_positive + found.num_negative
            yield (
                v.strategy,
                v.kind,
                f"{found.num_positive}/{num_read}",
                unread if num_read else f"{unread} (100 %)",
                words,
                score(found.true_positive_rate),
                score(found.true_negative_rate),
                score(found.auc),
                number(100 * v.calibration_error, 1) if words == "score" else "-",
            )


def _selections(result: Ablation) -> Table:
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
        )
        for s in result.selections
    )
    note = (
        "All on the same candidates. Random: mean of the N; best: the one that the scorer grades highest "
        "(an oracle's choice); regret: best less arm; share: (arm - random) / (best - random)."
    )
    header = ("strategy", "layer", "pools", "random", "arm", "best (oracle)", "regret", "share")
    title = "Selection among N candidates"
    return Table(name="T6b_selection", title=title, header=header, rows=rows, notes=(note,))


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
    note = (
        "Exact means over all subsets of n candidates of each pool, where the history does not depend on the "
        "choice: turn 1, and gold history. Later turns of own history do not allow it."
    )
    header = ("strategy", "layer", "where", "pools", "n", "random", "arm", "best (oracle)")
    title = "Image score over the number of candidates"
    return Table(name="T6c_scaling", title=title, header=header, rows=rows, notes=(note,))


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
    rows.append(("scorer less human (points)", str(found.bias.num_units), difference(found.bias)))
    return Table(name=name, title=title, header=("measure", "labelled turns", "value"), rows=tuple(rows))


def _rated(result: Ablation) -> Table:
    rows = tuple(
        (name_of(a), str(e["human_mean"].num_units), score(e["human_mean"]), starred(e["human_gain"]))
        for a in result.arms
        if (e := a.estimates)["human_mean"].is_defined
    )
    note = "PPI++: the labelled turns, made precise by the scorer's scores of all turns."
    header = ("strategy", "labelled turns", "human mean", "human gain")
    title = "Image score of human raters"
    return Table(name="T6e_human", title=title, header=header, rows=rows, notes=(note,))
