"""Sentences on answers to text questions, and on what goes with the fall of scores."""

from __future__ import annotations

from dataclasses import replace

from analysis.estimands import ESTIMANDS
from analysis.inference import Estimate, undefined
from analysis.wear import Wear
from analysis.wording import Evidence, findings


def known(value: float, error: float, p: float) -> Estimate:
    return Estimate(
        value=value, standard_error=error, low=value - 2 * error, high=value + 2 * error, p=p, p_adjusted=p,
        detectable=2.8 * error,
    )  # fmt: skip


UNKNOWN = dict.fromkeys(ESTIMANDS, undefined("not measured"))
GAP = UNKNOWN | {"eb": known(0.09, 0.01, 1e-9)}
WEAR = Wear(
    strategy="direct",
    per_image=known(-0.069, 0.006, 1e-9),
    per_other=known(-0.004, 0.015, 0.8),
    difference=known(-0.066, 0.019, 0.001),
    correlation=0.55,
)


def said(one: Evidence, others: int = 0) -> tuple[tuple[str, ...], str]:
    """Of one strategy among others like it."""
    found = findings({f"s{i}": one for i in range(others + 1)}, None)["s0"]
    return found.rules, found.sentence


def test_answers_that_gain_on_gold_history_are_told_by_kind() -> None:
    answers = {
        "text": known(0.137, 0.025, 1e-6),
        "static": known(0.059, 0.025, 0.02),
        "dynamic": known(0.211, 0.04, 1e-6),
    }
    rules, sentence = said(Evidence(estimates=GAP, answers=answers))
    assert rules[-1] == "answers_gap"
    assert (
        "Answers to text questions score 13.7 points [8.7, 18.7] higher on gold history than on own"
        in sentence
    )
    assert "(static questions 5.9 [0.9, 10.9], dynamic ones 21.1 [13.1, 29.1])" in sentence


def test_the_gain_of_answers_is_adjusted_over_the_strategies() -> None:
    one = Evidence(estimates=GAP, answers={"text": known(0.05, 0.02, 0.02)})
    assert said(one)[0][-1] == "answers_gap"
    rules, sentence = said(one, others=7)
    assert rules[-1] == "answers_unclear"
    assert (
        "No effect of history on answers to text questions is shown (5.0 points [1.0, 9.0]; p = 0.160 "
        "after adjustment; the MDE" in sentence
    )


def test_without_gold_history_nothing_is_said_of_answers() -> None:
    one = Evidence(estimates=UNKNOWN, answers={"text": known(0.05, 0.02, 0.001)})
    assert said(one)[0] == ("no_decay_shown",)


def test_what_wears_history_out_is_told_where_the_two_differ() -> None:
    rules, sentence = said(Evidence(estimates=UNKNOWN, wear=WEAR))
    assert rules[-1] == "wear_images"
    assert (
        "Within dialogues scores change by -6.9 points [-8.1, -5.7] with each earlier own image" in sentence
    )
    assert (
        "by -0.4 [-3.4, 2.6] with each earlier turn of another kind: own images lower later scores more"
        in sentence
    )
    turns = replace(WEAR, difference=known(0.05, 0.01, 0.001))
    assert said(Evidence(estimates=UNKNOWN, wear=turns))[0][-1] == "wear_turns"
    unclear = replace(WEAR, difference=known(-0.03, 0.02, 0.13))
    rules, sentence = said(Evidence(estimates=UNKNOWN, wear=unclear))
    assert rules[-1] == "wear_unclear"
    assert "no difference between the two is shown" in sentence


def test_where_a_design_cannot_tell_nothing_is_said_of_wear() -> None:
    unknown = replace(WEAR, difference=undefined("they grow together"))
    assert said(Evidence(estimates=UNKNOWN, wear=unknown))[0] == ("no_decay_shown",)
