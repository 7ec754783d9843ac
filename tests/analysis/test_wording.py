"""What may be said: by rule, and never more than the evidence carries."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from analysis.consistency import contradictions
from analysis.estimands import ESTIMANDS
from analysis.inference import MARGIN, Estimate, benjamini_hochberg, holm, undefined
from analysis.wording import Evidence, findings

UNKNOWN = undefined("not measured")


def known(value: float, error: float, *, p: float = 0.5, equivalent: float | None = None) -> Estimate:
    within = float(norm.cdf((abs(value) - MARGIN) / error)) if error else math.nan
    return Estimate(
        value=value, standard_error=error, low=value - 2 * error, high=value + 2 * error, p=p, p_adjusted=p,
        p_equivalence=within if equivalent is None else equivalent, detectable=2.8 * error,
    )  # fmt: skip


def evidence(**estimates: Estimate) -> Evidence:
    return Evidence(estimates=dict.fromkeys(ESTIMANDS, UNKNOWN) | estimates)


GAP = known(0.09, 0.01, p=1e-9)
AGREES = known(0.4, 0.1, p=1e-4)


def said(reference: Estimate | None = GAP, **estimates: Estimate) -> tuple[tuple[str, ...], str]:
    """Rules and sentence of cot against a direct with the gap `reference`; None for direct itself."""
    studied = {"cot": evidence(**estimates)}
    if reference is not None:
        studied["direct"] = evidence(eb=reference)
    baseline = "cot" if reference is None else "direct"
    found = findings(studied, baseline)
    assert contradictions(found, {name: one.estimates for name, one in studied.items()}, baseline) == ()
    return found["cot"].rules, found["cot"].sentence


def test_with_own_history_only_a_fall_is_decay() -> None:
    rules, sentence = said(within_slope=known(-0.05, 0.01, p=1e-6))
    assert rules == ("decay",)
    assert "5.0 points [3.0, 7.0] per turn" in sentence
    assert "cause is not identified" in sentence


def test_with_own_history_only_no_fall_is_inconclusive_and_says_what_could_be_found() -> None:
    rules, sentence = said(within_slope=known(-0.005, 0.01))
    assert rules == ("no_decay_shown",)
    assert "the MDE was 2.8 points" in sentence


def test_an_interval_beside_zero_that_adjustment_does_not_confirm_is_said_with_its_p() -> None:
    reduction = {"eb_reduction": replace(known(0.04, 0.01), p=0.02, p_adjusted=0.081)}
    rules, sentence = said(eb=known(0.05, 0.01, p=1e-5), **reduction)
    assert rules[-1] == "reduction_inconclusive"
    assert "inconclusive (4.0 points [2.0, 6.0]; p = 0.081 after adjustment; the MDE was" in sentence


def test_a_gap_beyond_the_margin_is_said_with_its_share_of_the_decay() -> None:
    share = known(0.6, 0.05)
    rules, sentence = said(None, eb=known(0.09, 0.01, p=1e-9), attributable_fraction=share)
    assert rules == ("exposure_gap", "no_step_scores")
    assert "Replacing own history by gold raises scores by 9.0 points [7.0, 11.0]" in sentence
    assert "60 % [50, 70] of the decay" in sentence


def test_a_small_gap_is_called_zero_only_by_an_equivalence_test() -> None:
    assert said(None, eb=known(0.001, 0.005, equivalent=0.001))[0] == ("gap_equivalent",)
    assert said(None, eb=known(0.001, 0.02))[0] == ("gap_inconclusive",)


def test_a_gap_above_0_that_may_be_small_is_not_called_inconclusive() -> None:
    rules, sentence = said(None, eb=known(0.03, 0.0052, p=1e-6))
    assert rules == ("gap_not_beyond", "no_step_scores")
    assert "3.0 points [2.0, 4.0]: above 0, not shown to exceed 2 points" in sentence


def test_what_decides_on_a_word_is_adjusted_over_the_strategies() -> None:
    """One gap beyond the margin at .02 among eight is none after Holm's adjustment."""
    one, flat = known(0.045, 0.012, p=0.001), known(0.0, 0.005)
    alone = findings({"a": evidence(eb=one)}, None)
    assert alone["a"].rules[0] == "exposure_gap"
    studied = {"a": evidence(eb=one)} | {f"b{i}": evidence(eb=flat) for i in range(7)}
    assert findings(studied, None)["a"].rules[0] == "gap_not_beyond"
    barely = evidence(eb=known(0.0, 0.01, p=1.0, equivalent=0.02))
    assert findings({"a": barely}, None)["a"].rules[0] == "gap_equivalent"
    studied = {f"a{i}": barely for i in range(8)}
    assert {found.rules[0] for found in findings(studied, None).values()} == {"gap_inconclusive"}


def test_what_the_gap_is_made_of_stands_beside_it() -> None:
    gap, slope = known(0.078, 0.007, p=1e-9), known(-0.05, 0.005, p=1e-9)
    rules, sentence = said(None, eb=gap, eb_step=known(0.014, 0.004, p=0.001), within_slope=slope)
    assert rules == ("exposure_gap", "skill")
    assert (
        "Of the 7.8 points, 1.4 [0.6, 2.2] is skill lost on own pictures; the rest is damage counted"
        in sentence
    )
    _, unknown = said(None, eb=gap)
    assert "Without step scores, lost skill and damage that is counted again cannot be told apart" in unknown
    _, none = said(None, eb=gap, eb_step=known(-0.002, 0.004))
    assert "no loss of skill on own pictures is shown (-0.2 points [-1.0, 0.6])" in none
    _, all_of_it = said(None, eb=gap, eb_step=known(0.08, 0.007, p=1e-9))
    assert "In step score, which leaves out earlier damage, the gap is 8.0 points" in all_of_it


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.63, -1.02, 2.82, None),
        (0.98, 0.9, 1.06, None),
        (0.8, 0.7, 0.92, "80 % [70, 92] of the decay"),
        (1.04, 0.9, 1.2, "scores do not decay after gold history (0.1 points [-0.5, 0.7] per turn)"),
    ],
)
def test_a_share_needs_an_interval_inside_0_to_100(
    value: float, low: float, high: float, words: str | None
) -> None:
    share = replace(known(value, 0.1), low=low, high=high)
    _, sentence = said(None, eb=GAP, attributable_fraction=share, within_slope_gold=known(0.001, 0.003))
    assert words in sentence if words else "decay" not in sentence
    _, change = said(eb=GAP, eb_reduction=known(0.05, 0.01, p=0.001), eb_reduction_ratio=share,
                     eb_reduction_logit=AGREES)  # fmt: skip
    assert ("%" in change) == (words is not None and value < 1)


def test_a_reduction_needs_its_adjusted_p_and_both_scales() -> None:
    clear = known(0.05, 0.01, p=0.001)
    rules, sentence = said(
        eb=GAP, eb_reduction=clear, eb_reduction_ratio=known(0.55, 0.1), eb_reduction_logit=AGREES
    )
    assert rules == ("exposure_gap", "no_step_scores", "reduction")
    assert "It reduces the exposure gap of direct by 5.0 points [3.0, 7.0] (55 %), 0.40 [0.20, " in sentence
    unclear = replace(clear, p_adjusted=0.2)
    assert said(eb=GAP, eb_reduction=unclear, eb_reduction_logit=AGREES)[0][-1] == "reduction_inconclusive"
    same = known(0.001, 0.003)
    assert said(eb=GAP, eb_reduction=same, eb_reduction_logit=AGREES)[0][-1] == "reduction_equivalent"
    more = known(-0.05, 0.01, p=0.001)
    worse = known(-0.4, 0.1, p=1e-4)
    rules, wider = said(eb=GAP, eb_reduction=more, eb_reduction_logit=worse)
    assert rules[-1] == "increase"
    assert "widens the exposure gap of direct by 5.0 points [3.0, 7.0], 0.40 [0.20, 0.60] on the" in wider
    rules, larger = said(eb=GAP, eb_reduction=more, eb_reduction_logit=AGREES)
    assert rules[-1] == "level_may_explain"
    assert "larger than that of direct by 5.0 points [3.0, 7.0]; on the logit scale no" in larger
    assert "increase is shown (-0.40 [-0.60, -0.20])" in larger


@pytest.mark.parametrize("logit", [known(-0.04, 0.05), known(0.2, 0.09, p=0.06), UNKNOWN])
def test_without_the_logit_scale_a_smaller_gap_may_be_a_matter_of_level(logit: Estimate) -> None:
    change, gain = known(0.075, 0.01, p=1e-6), known(0.2, 0.01, p=1e-9)
    rules, sentence = said(eb=GAP, eb_reduction=change, eb_reduction_logit=logit, mean_gain=gain)
    assert rules[-1] == "level_may_explain"
    assert (
        "The gap is smaller than that of direct by 7.5 points [5.5, 9.5]; on the logit scale no" in sentence
    )
    assert "so its higher level alone may explain the difference" in sentence
    assert "reduces" not in sentence


@pytest.mark.parametrize("reference", [known(0.001, 0.02), known(0.001, 0.003), known(-0.06, 0.01, p=1e-6)])
def test_a_gap_that_is_not_shown_cannot_be_reduced(reference: Estimate) -> None:
    change = known(0.047, 0.01, p=0.001)
    rules, sentence = said(reference, eb=known(-0.046, 0.01, p=0.001), eb_reduction=change,
                           eb_reduction_logit=AGREES)  # fmt: skip
    assert rules[-1] == "no_gap_to_reduce"
    assert "no gap of direct is shown that could change" in sentence
    assert "reduces" not in sentence


def test_the_reduction_in_step_score_stands_beside_it() -> None:
    step = known(0.008, 0.003, p=0.01)
    _, sentence = said(eb=GAP, eb_reduction=known(0.048, 0.008, p=1e-6), eb_step_reduction=step,
                       eb_reduction_logit=known(-0.16, 0.1))  # fmt: skip
    assert "by 4.8 points [3.2, 6.4] (by 0.8 [0.2, 1.4] in step score); on the logit scale" in sentence


def test_slopes_that_differ_by_chance_are_no_confound() -> None:
    slopes = {"pooled_slope": known(0.004, 0.01), "within_slope": known(-0.003, 0.01)}
    assert said(**slopes, slope_composition=known(0.007, 0.012))[0] == ("no_decay_shown",)
    rules, sentence = said(**slopes, slope_composition=known(0.007, 0.001, p=1e-6))
    assert rules == ("no_decay_shown", "composition_confound")
    assert "composition confound: pooled slope not interpreted" in sentence


def test_missing_turns_are_said_above_5_percent_with_the_worst_case() -> None:
    few, many = (replace(GAP, num_missing=n, num_planned=100) for n in (5, 23))
    assert "no score" not in said(None, eb=few)[1]
    one = replace(evidence(eb=many), bounds={"eb": (0.021, 0.187)})
    sentence = findings({"cot": one}, None)["cot"].sentence
    assert ". 23 % of the turns that the gap needs have no score: for any scores of these turns, " in sentence
    assert "the gap lies between 2.1 and 18.7 points" in sentence


def test_the_tier_leads_the_sentence() -> None:
    assert said(None, eb=GAP)[1].startswith("Tier A: Replacing own history by gold raises scores")
    assert said()[1].startswith("Tier D: No slope over turns can be computed")


def test_exact_data_claim_nothing_that_needs_a_test() -> None:
    exact = Estimate(value=0.04, standard_error=0.0, low=0.04, high=0.04)
    assert said(eb=exact, eb_reduction=exact)[0] == ("gap_inconclusive", "reduction_inconclusive")


def interval_of(value: float, error: float, factor: float) -> Estimate:
    """With the p-value that belongs to the interval, adjusted by a factor."""
    p = float(2 * norm.sf(abs(value) / error))
    reach = float(norm.ppf(0.975)) * error
    found = known(value, error, p=min(1.0, factor * p))
    return replace(found, p=p, low=value - reach, high=value + reach)


NUMBERS = st.builds(interval_of, st.floats(-0.2, 0.2), st.floats(1e-4, 0.1), st.floats(1, 8))
GAPS = st.builds(interval_of, st.floats(0, 0.2), st.floats(1e-3, 0.02), st.floats(1, 8))


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(sorted(ESTIMANDS)), NUMBERS, min_size=4),
    st.one_of(NUMBERS, GAPS, st.just(UNKNOWN)),
)
def test_no_sentence_contradicts_itself_or_uses_a_forbidden_word(
    estimates: dict[str, Estimate], reference: Estimate
) -> None:
    _, sentence = said(reference, **estimates)
    assert not any(word in sentence for word in ("eliminates", "nan", "-0.0 ", "behind gold"))
    assert not re.search(r"p = 0(?!\.\d*[1-9])", sentence)
    assert "exposure" not in sentence.lower() or "eb" in estimates


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


def drawn(rng: np.random.Generator, truth: float, error: float) -> Estimate:
    value = float(rng.normal(truth, error))
    within = float(norm.cdf((abs(value) - MARGIN) / error))
    return replace(known(value, error, p=float(2 * norm.sf(abs(value) / error))), p_equivalence=within)


@pytest.mark.parametrize(
    ("truth", "error", "rule"),
    [(0.0, 0.02, "gap_not_beyond"), (0.02, 0.004, "exposure_gap"), (0.02, 0.004, "gap_equivalent")],
)
def test_seven_strategies_at_the_edge_are_seldom_called_anything(
    truth: float, error: float, rule: str
) -> None:
    """In at most 6 % of the studies any of seven is given the word that none of them deserves."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        gaps = holm([drawn(rng, truth, error) for _ in range(7)])
        found = findings({f"s{i}": evidence(eb=gap) for i, gap in enumerate(gaps)}, None)
        wrong += any(rule in finding.rules for finding in found.values())
    assert wrong / 400 <= 0.06
