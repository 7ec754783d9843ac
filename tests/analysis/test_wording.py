"""What may be said: by rule, and never more than the evidence carries."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.estimands import ESTIMANDS
from analysis.inference import Estimate, benjamini_hochberg, holm, undefined
from analysis.wording import finding

UNKNOWN = undefined("not measured")


def known(value: float, error: float, *, p: float = 0.5, equivalent: float = 0.5) -> Estimate:
    return Estimate(
        value=value, standard_error=error, low=value - 2 * error, high=value + 2 * error, p=p, p_adjusted=p,
        p_equivalence=equivalent, detectable=2.8 * error,
    )  # fmt: skip


def said(baseline: str | None = "direct", **estimates: Estimate) -> tuple[tuple[str, ...], str]:
    found = finding(dict.fromkeys(ESTIMANDS, UNKNOWN) | estimates, baseline)
    return found.rules, found.sentence


def test_with_own_history_only_a_fall_is_decay() -> None:
    rules, sentence = said(within_slope=known(-0.05, 0.01, p=1e-6))
    assert rules == ("decay",)
    assert "5.0 points [3.0, 7.0] per turn" in sentence
    assert "cause is not identified" in sentence


def test_with_own_history_only_no_fall_is_inconclusive_and_says_what_could_be_found() -> None:
    rules, sentence = said(within_slope=known(-0.005, 0.01))
    assert rules == ("no_decay_shown",)
    assert "the MDE was 2.8 points" in sentence


def test_a_gap_beyond_the_margin_is_said_with_its_share_of_the_decay() -> None:
    share = known(0.6, 0.05)
    rules, sentence = said(None, eb=known(0.09, 0.01, p=1e-9), attributable_fraction=share)
    assert rules == ("exposure_gap",)
    assert "Replacing own history by gold raises scores by 9.0 points [7.0, 11.0]" in sentence
    assert "60 % [50, 70] of the decay" in sentence


def test_a_small_gap_is_called_zero_only_by_an_equivalence_test() -> None:
    assert said(None, eb=known(0.001, 0.005, equivalent=0.001))[0] == ("gap_equivalent",)
    assert said(None, eb=known(0.001, 0.02))[0] == ("gap_inconclusive",)


def test_a_reduction_needs_its_adjusted_p() -> None:
    gap = known(0.09, 0.01, p=1e-9)
    clear = known(0.04, 0.01, p=0.001)
    rules, sentence = said(eb=gap, eb_reduction=clear, eb_reduction_ratio=known(0.44, 0.1))
    assert rules == ("exposure_gap", "reduction")
    assert "reduces the exposure gap of direct by 4.0 points [2.0, 6.0] (44 %)" in sentence
    assert said(eb=gap, eb_reduction=replace(clear, p_adjusted=0.2))[0][1] == "reduction_inconclusive"
    assert said(eb=gap, eb_reduction=known(0.001, 0.003, equivalent=0.001))[0][1] == "reduction_equivalent"
    assert said(eb=gap, eb_reduction=known(-0.04, 0.01, p=0.001))[0][1] == "increase"


def test_exact_data_claim_nothing_that_needs_a_test() -> None:
    exact = Estimate(value=0.04, standard_error=0.0, low=0.04, high=0.04)
    assert said(eb=exact, eb_reduction=exact)[0] == ("gap_inconclusive", "reduction_inconclusive")


@given(st.floats(-0.2, 0.2), st.floats(0, 0.1), st.floats(0, 1), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2))
def test_forbidden_words_never_appear(
    value: float, error: float, p: float, pooled: float, within: float
) -> None:
    one, slope = known(value, error, p=p), known(within, error, p=p)
    _, sentence = said(eb=one, eb_reduction=one, pooled_slope=known(pooled, error), within_slope=slope)
    _, decay = said(pooled_slope=known(pooled, error), within_slope=slope)
    for text in (sentence, decay):
        assert not any(word in text for word in ("eliminates", "p = 0", "nan", "-0.0 "))
    assert "exposure" not in decay.lower()
    are_opposite = pooled * within < 0 and min(abs(pooled), abs(within)) > 1e-9
    assert ("composition confound" in decay) == are_opposite


def p_values(estimates: list[Estimate]) -> list[float]:
    return [estimate.p_adjusted for estimate in estimates]


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    family = [replace(UNKNOWN, p=p) for p in (0.04, 0.01, 0.03, math.nan)]
    assert p_values(holm(family)) == pytest.approx([0.06, 0.03, 0.06, math.nan], nan_ok=True)
    assert p_values(benjamini_hochberg(family)) == pytest.approx([0.04, 0.03, 0.04, math.nan], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_are_no_smaller_and_keep_the_order(ps: list[float]) -> None:
    family = [replace(UNKNOWN, p=p) for p in ps]
    for adjust in (holm, benjamini_hochberg):
        adjusted = p_values(adjust(family))
        assert all(p <= q + 1e-15 and q <= 1 for p, q in zip(ps, adjusted, strict=True))
        order = sorted(range(len(ps)), key=lambda i: ps[i])
        assert [adjusted[i] for i in order] == sorted(adjusted)
