"""The ablation table in words and numbers: small stacked tables, as text for a terminal and as Markdown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.ablation import Ablation, Arm
from analysis.bootstrap import Estimate

__all__ = ["Table", "caption", "display_name", "short_name", "tables", "to_markdown", "to_terminal"]

WIDTH = 120
_LABEL_WIDTH = 36
_GAP = "  "


@dataclass(frozen=True, kw_only=True)
class Table:
    """One small table. The first column names the row, the others are numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def display_name(strategy: str, is_oracle: bool) -> str:
    """A strategy as tables and figures call it."""
    return f"{strategy} (oracle)" if is_oracle else strategy


def caption(result: Ablation) -> str:
    """What stands above the tables: what was measured on what, and how the intervals come about."""
    classes = ", ".join(f"{count} {name}" for name, count in result.samples_by_class.items())
    tier = (
        "Evidence tier A: own history against replayed gold history, on the same turns."
        if result.tier == "A"
        else "Evidence tier D: own history only, so the fall over turns is decay, whatever causes it."
    )
    return (
        f"Benchmark {result.benchmark}; backbone {result.backbone}. "
        f"n = {result.num_samples} samples ({classes}), {_plural(result.seeds)}, {result.num_runs} runs. "
        f"Scores are x 100. Seeds are averaged within (sample, turn), and each turn has equal weight. "
        f"In brackets: 95 % percentile intervals of a paired bootstrap (cluster = sample, stratified by "
        f"class, B = {result.resamples:,}, seed {result.bootstrap_seed}), not adjusted for many comparisons. "
        f"{tier}"
    )


def tables(result: Ablation) -> tuple[Table, ...]:
    """The tables of a study, in reading order; those with nothing to show are left out."""
    candidates = (
        _image(result),
        _by_turn(result),
        _exposure_bias(result),
        _nestings(result),
        _by_class(result),
        _text(result),
        _cost(result),
        _verifiers(result),
        _selections(result),
    )
    return tuple(table for table in candidates if table.rows)


def to_markdown(result: Ablation) -> str:
    """The whole report as Markdown."""
    lines = [f"# {_headline(result)}", "", caption(result), ""]
    lines += [line for warning in result.warnings for line in (f"> **Note:** {warning}", "")]
    for table in tables(result):
        lines += [
            f"## {table.title}",
            "",
            _row(table.header),
            _row(["---"] + ["---:"] * (len(table.header) - 1)),
        ]
        lines += [_row(row) for row in table.rows]
        lines += ["", *(line for note in table.notes for line in (note, ""))]
    return "\n".join(lines)


def to_terminal(result: Ablation) -> str:
    """The whole report as plain text of at most 120 columns; wider tables are continued below."""
    head = _headline(result)
    lines = [head, "=" * min(len(head), WIDTH), *textwrap.wrap(caption(result), WIDTH)]
    lines += [line for warning in result.warnings for line in textwrap.wrap(f"Note: {warning}", WIDTH)]
    for table in tables(result):
        lines += ["", table.title, *_text_table(table)]
        lines += [line for note in table.notes for line in textwrap.wrap(note, WIDTH)]
    return "\n".join(lines)


def short_name(identity: str) -> str:
    """The name at the head of an identity such as "pocket:1:2fd4e1c67a2d28fc"."""
    return identity.partition(":")[0]


def _headline(result: Ablation) -> str:
    return f"Ablation: {short_name(result.backbone)} on {short_name(result.benchmark)}"


def _image(result: Ablation) -> Table:
    against = f"gain over {result.baseline}" if result.baseline else "gain"
    rows = tuple(
        (
            _name(arm),
            str(arm.num_samples),
            f"{arm.num_scored}/{arm.num_planned}",
            _score(arm.image),
            _difference(arm.gain),
            _score(arm.step),
        )
        for arm in result.arms
    )
    missing = _missing(
        "Missing image turns, and the score if all of them were 0 or all 100",
        [
            f"{_name(arm)} {arm.num_planned - arm.num_scored} "
            f"({100 * arm.bounds[0]:.1f} to {100 * arm.bounds[1]:.1f})"
            for arm in result.arms
            if arm.num_scored < arm.num_planned
        ],
    )
    note = (
        "Per-step skill: the score relative to the model's own previous image (inherited damage set aside)."
    )
    header = ("strategy", "n", "turns scored", "image score", against, "per-step skill")
    return Table(title="Image score, own history", header=header, rows=rows, notes=(note, *missing))


def _by_turn(result: Ablation) -> Table:
    turns = range(max((len(arm.own) for arm in result.arms), default=0))
    shown = [t for t in turns if any(math.isfinite(arm.own[t].value) for arm in result.arms)]
    both = result.tier == "A"
    counts = tuple(_count_range([arm.own[t].num_samples for arm in result.arms]) for t in shown)
    rows = tuple((_name(arm), *(_own_and_gold(arm, t, both) for t in shown)) for arm in result.arms)
    title = "Image score by turn: own / gold history" if both else "Image score by turn, own history (decay)"
    return Table(
        title=title,
        header=("strategy", *(f"turn {t + 1}" for t in shown)),
        rows=(*rows, ("samples with an image", *counts)),
    )


def _exposure_bias(result: Ablation) -> Table:
    rows = tuple(
        (
            _name(arm),
            _score(bias.mean),
            _difference(bias.reduction),
            "-" if bias.reduction is None else _percent(bias.reduction_share),
            *(_points(gap) for gap in bias.per_turn[1:]),
        )
        for arm in result.arms
        if (bias := arm.exposure_bias)
    )
    turns = max((len(arm.own) for arm in result.arms), default=0)
    note = (
        "EB: gold less own history, paired by turn, over turns 2 and later. Reduction: EB of "
        f"{result.baseline} less EB of the strategy; in percent only where the former exceeds three of "
        "its standard errors, else n/a."
    )
    header = ("strategy", "EB", "EB reduction", "in %", *(f"EB({t})" for t in range(2, turns + 1)))
    missing = _missing(
        "Missing pairs (a turn without a score behind own or gold history)",
        [
            f"{_name(arm)} {bias.num_missing} of {bias.mean.num_units + bias.num_missing}"
            for arm in result.arms
            if (bias := arm.exposure_bias) and bias.num_missing
        ],
    )
    return Table(title="Exposure bias", header=header, rows=rows, notes=(note, *missing))


def _nestings(result: Ablation) -> Table:
    words = {"gain": "gain", "none": "none shown", "loss": "LOSS"}
    rows = tuple(
        (
            display_name(n.strategy, n.oracle),
            n.part,
            _difference(n.difference),
            words[n.finding],
        )
        for n in result.nestings
    )
    note = "Gain or loss: the interval of the paired difference excludes 0."
    header = ("nesting", "against its part", "difference in image score", "finding")
    return Table(title="Nestings against each part alone", header=header, rows=rows, notes=(note,))


def _by_class(result: Ablation) -> Table:
    names = tuple(result.samples_by_class)
    rows = tuple(
        (_name(arm), *(_difference(arm.gain_by_class.get(name)) for name in names))
        for arm in result.arms
        if arm.gain
    )
    title = f"Gain in image score over {result.baseline}, by class"
    return Table(title=title, header=("strategy", *names), rows=rows if len(names) > 1 else ())


def _text(result: Ablation) -> Table:
    rows = tuple(
        (
            _name(arm),
            f"{arm.num_text_scored}/{arm.num_text_planned}",
            _score(arm.text),
            _score(arm.static),
            _score(arm.dynamic),
        )
        for arm in result.arms
        if arm.num_text_planned
    )
    header = ("strategy", "turns scored", "text score", "static MCQ", "dynamic MCQ")
    note = "Dynamic MCQ: asks for what the model itself chose to draw."
    return Table(title="Text score, own history", header=header, rows=rows, notes=(note,))


def _cost(result: Ablation) -> Table:
    columns = {
        "images": ("images", 2),
        "NFE": ("nfe", 1),
        "new tokens": ("generator_tokens", 1),
        "judge tokens": ("judge_tokens", 1),
        "seconds": ("generator_seconds", 4),
        "judge seconds": ("judge_seconds", 4),
    }
    rows = tuple(
        (_name(arm), *(_number(arm.cost[field], digits) for field, digits in columns.values()))
        for arm in result.arms
    )
    note = (
        "What an image turn asked for, whether or not a journal served it; seconds are time in the model. "
        "The generator's and the judge's stand apart; images and NFE are the sum of both."
    )
    return Table(title="Cost per image turn", header=("strategy", *columns), rows=rows, notes=(note,))


def _verifiers(result: Ablation) -> Table:
    rows = tuple(
        (
            v.strategy,
            f"{v.num_positive}/{v.num_positive + v.num_negative}",
            str(v.num_unparsable),
            _score(v.true_positive_rate),
            _score(v.true_negative_rate),
            _score(v.auc),
        )
        for v in result.verifiers
    )
    thresholds = sorted({v.threshold for v in result.verifiers})
    accept = " or ".join(f"{threshold:g}" for threshold in thresholds)
    note = (
        "The strategy's judge against the scorer, on every image that it judged. Perfect: the scorer gives "
        f"full marks. TPR: perfect images that it accepts (verdict of {accept} or more); TNR: others that it "
        "rejects. Oracle arms are left out: their judge is the scorer."
    )
    header = ("strategy", "perfect/judged", "unparsable", "TPR", "TNR", "AUC")
    return Table(title="Verification accuracy", header=header, rows=rows, notes=(note,))


def _selections(result: Ablation) -> Table:
    rows = tuple(
        (
            display_name(s.strategy, s.oracle),
            s.layer.removeprefix("oracle_"),
            str(s.num_pools),
            _points(s.random),
            _points(s.arm),
            _points(s.best),
            _score(s.regret),
            _percent(s.share),
        )
        for s in result.selections
    )
    note = (
        "All on the same candidates. Random: mean of the N; best: the one that the scorer grades highest "
        "(an oracle's choice); regret: best less arm; share: (arm - random) / (best - random)."
    )
    header = ("strategy", "layer", "pools", "random", "arm", "best (oracle)", "regret", "share")
    return Table(title="Selection among N candidates", header=header, rows=rows, notes=(note,))


def _missing(what: str, cases: Sequence[str]) -> tuple[str, ...]:
    return (f"{what}: {'; '.join(cases)}.",) if cases else ()


def _name(arm: Arm) -> str:
    return display_name(arm.strategy, arm.oracle)


def _score(estimate: Estimate) -> str:
    """ "82.1 [80.0, 84.2]", in points."""
    if not math.isfinite(estimate.value):
        return "n/a" if estimate.num_units else "-"
    return f"{_points(estimate)} {_interval(estimate)}"


def _difference(estimate: Estimate | None) -> str:
    """ "+3.0 [1.2, 4.8]", in points; "-" where there is nothing to compare."""
    if estimate is None or not math.isfinite(estimate.value):
        return "-"
    return f"{_fixed(100 * estimate.value, 1, sign=True)} {_interval(estimate)}"


def _percent(share: Estimate | None) -> str:
    if share is None or not math.isfinite(share.value):
        return "n/a"
    return f"{_fixed(100 * share.value, 0)} {_interval(share, 0)}"


def _interval(estimate: Estimate, digits: int = 1) -> str:
    if not math.isfinite(estimate.low):
        return "[n/a]"
    ends = (_end(100 * end, digits) for end in (estimate.low, estimate.high))
    return f"[{', '.join(ends)}]"


def _end(value: float, digits: int) -> str:
    """An end of an interval, with one more digit where it would else look like an exact 0."""
    shown = _fixed(value, digits)
    return _fixed(value, digits + 1) if float(shown) == 0 and abs(value) > 1e-9 else shown


def _points(estimate: Estimate) -> str:
    return _number(100 * estimate.value, 1)


def _number(value: float, digits: int) -> str:
    return _fixed(value, digits) if math.isfinite(value) else "-"


def _fixed(value: float, digits: int, *, sign: bool = False) -> str:
    """Fixed-point, and never "-0.0"."""
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}"


def _own_and_gold(arm: Arm, turn: int, both: bool) -> str:
    own = _points(arm.own[turn])
    return f"{own} / {_points(arm.gold[turn])}" if both and turn > 0 else own


def _count_range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _plural(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text_table(table: Table) -> Iterator[str]:
    labels = [textwrap.wrap(_breakable(row[0]), _LABEL_WIDTH) for row in table.rows]
    label_width = max(len(line) for label in (*labels, [table.header[0]]) for line in label)
    for columns in _pieces(table, WIDTH - label_width):
        widths = [max(len(row[c]) for row in (table.header, *table.rows)) for c in columns]
        yield from _line([table.header[0]], table.header, columns, widths, label_width)
        yield "-" * (label_width + sum(widths) + len(_GAP) * len(widths))
        for label, row in zip(labels, table.rows, strict=True):
            yield from _line(label, row, columns, widths, label_width)


def _line(
    label: Sequence[str], row: Sequence[str], columns: Sequence[int], widths: Sequence[int], label_width: int
) -> Iterator[str]:
    cells = (row[c].rjust(width) for c, width in zip(columns, widths, strict=True))
    *above, last = (line.replace("+ ", "+").replace(", ", ",") for line in label)
    yield from above
    yield _GAP.join([last.ljust(label_width), *cells])


def _breakable(label: str) -> str:
    """A label that may be wrapped between its layers and knobs."""
    return label if len(label) <= _LABEL_WIDTH else label.replace("+", "+ ").replace(",", ", ")


def _pieces(table: Table, width: int) -> Iterator[list[int]]:
    """Indices of the columns that fit beside the labels, piece by piece."""
    piece: list[int] = []
    used = 0
    for column in range(1, len(table.header)):
        size = len(_GAP) + max(len(row[column]) for row in (table.header, *table.rows))
        if piece and used + size > width:
            yield piece
            piece, used = [], 0
        piece.append(column)
        used += size
    yield piece
