"""Tables T9 and T9b: training against exposure bias, compared with test-time compute."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.ablation import Ablation
from analysis.cells import difference, number, score
from analysis.inference import Estimate
from analysis.layout import Table
from analysis.phrases import fixed
from analysis.remedies import BreakEven, Remedy

__all__ = ["remedy_tables"]


def remedy_tables(result: Ablation) -> tuple[Table, ...]:
    """Return the tables of scores and gaps, of costs, and of comparisons with the control.

    They have no rows if the study has no trained weights.
    """
    return _scores(result.remedies), _costs(result.remedies), _controlled(result.remedies)


def _scores(found: Sequence[Remedy]) -> Table:
    rows = tuple(
        (
            _method(remedy),
            str(len(remedy.arms)),
            remedy.strategy,
            score(remedy.mean),
            difference(remedy.gain),
            _spread(remedy.gains),
            difference(remedy.first_turn),
            difference(remedy.eb),
            difference(remedy.eb_reduction),
            difference(remedy.eb_step),
            difference(remedy.eb_step_reduction),
        )
        for remedy in found
    )
    notes = (
        "Models of one way of training are averaged in each cell. Intervals are over dialogues, not over "
        "training seeds, and are not adjusted; each model: its own gain. Gain and reductions: against the "
        "same strategy on the weights that the training began with; - from scratch, where there are none.",
        "EB, exposure bias: gold less own history, turns 2 and later. It can fall while the score falls: "
        "read it beside the gain. Lost skill: the part of it that the step score loses too; the rest is "
        "damage that is counted again.",
    )
    header = (
        "training", "models", "strategy", "mean", "gain", "each model", "gain at turn 1", "EB",
        "EB reduction", "lost skill", "its reduction",
    )  # fmt: skip
    title = "Trained weights under each strategy"
    return Table(name="T9_training", title=title, header=header, rows=rows, notes=notes)


def _controlled(found: Sequence[Remedy]) -> Table:
    rows = tuple(
        (
            _method(remedy),
            remedy.strategy,
            f"{len(remedy.arms)} and {len(remedy.control)}",
            difference(remedy.against_control),
            difference(remedy.first_turn_against_control),
            difference(remedy.eb_reduction_against_control),
            difference(remedy.eb_step_reduction_against_control),
        )
        for remedy in found
        if remedy.control
    )
    note = (
        "Control: the same training, as many steps, on gold history alone, under the same strategy. Score: "
        "less the control's. Reductions: the control's less these weights'; EB and lost skill as in T9. "
        "Intervals are over dialogues, not over training seeds, and are not adjusted."
    )
    header = (
        "training", "strategy", "models, and of the control", "score", "score at turn 1", "EB reduction",
        "lost skill, its reduction",
    )  # fmt: skip
    title = "Training on own history against the same training on gold history alone"
    return Table(name="T9c_against_control", title=title, header=header, rows=rows, notes=(note,))


def _costs(found: Sequence[Remedy]) -> Table:
    rows = tuple(
        (
            _method(remedy),
            remedy.strategy,
            number(remedy.seconds, 0),
            f"{remedy.token_positions:,.0f}",
            paid.strategy,
            difference(paid.difference),
            _interval(paid.saved_tokens, 0),
            _interval(paid.saved, 3),
            _dialogues(remedy, paid),
        )
        for remedy in found
        if (paid := remedy.break_even) is not None
    )
    note = (
        "Test-time arm: of the arms on the weights that the training began with that ask the models for "
        "more tokens, the one whose image score lies nearest. Difference: the trained weights' score less "
        "that arm's. Tokens: new ones. Seconds: wall-clock, in the models, image turns of a dialogue; their "
        "interval is over dialogues, so runs made while the machine was busier or quieter differ by more: "
        "trust the tokens there. Break-even: seconds of "
        "training one model over the seconds saved per dialogue, with the ends of their interval; n/a where "
        "no gain over the same strategy on the first weights is shown (it costs no training), where the "
        "scores are shown to be lower than that arm's, or where no saving is shown. What the first weights "
        "cost is left out: both sides rest on them."
    )
    header = (
        "training", "strategy", "training seconds", "token positions", "test-time arm of nearest score",
        "difference", "tokens saved per dialogue", "seconds saved per dialogue", "break-even, dialogues",
    )  # fmt: skip
    title = "What training costs, and after how many dialogues it has paid off"
    return Table(name="T9b_break_even", title=title, header=header, rows=rows, notes=(note,))


def _method(remedy: Remedy) -> str:
    begun = " from scratch" if remedy.start == "scratch" else ""
    return f"{remedy.method}{begun}, {remedy.steps} steps"


def _spread(gains: Sequence[float]) -> str:
    known = [fixed(100 * gain, 1, sign=True) for gain in gains if math.isfinite(gain)]
    return ", ".join(known) or "-"


def _interval(saved: Estimate, digits: int) -> str:
    value, low, high = (fixed(each, digits) for each in (saved.value, saved.low, saved.high))
    return f"{value} [{low}, {high}]" if saved.is_defined else "-"


def _dialogues(remedy: Remedy, paid: BreakEven) -> str:
    if not remedy.gain.low > 0:
        return "n/a: no gain over the same strategy"
    if paid.difference.high < 0:
        return "n/a: scores less"
    value, low, high = paid.dialogues
    if not math.isfinite(value):
        return "n/a: no saving"
    end = f"{high:,.0f}" if math.isfinite(high) else "no bound"
    return f"{value:,.0f} [{low:,.0f}, {end}]"
