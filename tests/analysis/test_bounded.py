"""Intervals of mean scores and shares stay inside the bounds, and cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.bootstrap import Bootstrap, Floats
from analysis.inference import Estimate, Inference, bounded
from analysis.statistic import level, share


def inference(num_samples: int, resamples: int = 200) -> Inference:
    strata = ("a",) * num_samples
    return Inference(clusters=np.arange(num_samples), bootstrap=Bootstrap(strata=strata, resamples=resamples))


def level_of(grid: Floats) -> Estimate:
    return inference(len(grid)).closed_form(level(grid))


@settings(max_examples=60, deadline=None)
@given(scores=st.lists(st.integers(0, 15), min_size=2, max_size=12))
def test_the_interval_lies_between_0_and_1_and_around_the_value(scores: list[int]) -> None:
    found = level_of(np.array(scores, dtype=np.float64).reshape(-1, 1) / 15)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high > found.low
    assert np.isnan(found.p)


def test_equal_scores_prove_no_more_than_their_number_of_dialogues() -> None:
    """Wilson's interval for 3 successes of 3, with the quantile 4.303 of t(2): 3 / (3 + 4.303^2)."""
    for width in (1, 5):
        perfect = level_of(np.ones((3, width)))
        assert (perfect.low, perfect.high) == pytest.approx((0.139452, 1.0), abs=1e-6)
    nothing = level_of(np.zeros((3, 1)))
    assert (nothing.low, nothing.high) == pytest.approx((0.0, 0.860548), abs=1e-6)


def test_of_independent_turns_it_is_wilsons_interval() -> None:
    """The CR1 error of 39 right in 40 is that of 39 trials: its ends solve (p - m)^2 = q^2 p (1 - p) / 39."""
    found = level_of(np.array([[1.0]] * 39 + [[0.0]]))
    for end in (found.low, found.high):
        assert (end - 0.975) ** 2 == pytest.approx(2.0226909**2 * end * (1 - end) / 39, rel=1e-6)


def test_dialogues_whose_turns_agree_count_as_one_trial_each() -> None:
    once = level_of(np.array([[1.0]] * 9 + [[0.0]]))
    thrice = level_of(np.array([[1.0] * 3] * 9 + [[0.0] * 3]))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_one_dialogue_has_no_interval() -> None:
    assert np.isnan([level_of(np.ones((1, 4))).low, level_of(np.ones((1, 4))).high]).all()


def test_an_estimate_with_its_own_standard_error_is_bounded_too() -> None:
    found = bounded(Estimate(value=0.99, standard_error=0.02), 40)
    assert 0.8 < found.low < 0.99 < found.high < 1
    assert (found.value, found.standard_error) == (0.99, 0.02)


def test_the_bootstrap_interval_is_inside_too() -> None:
    grid = np.array([[1.0]] * 28 + [[0.0], [0.5]])
    found = inference(30).estimates({"it": level(grid)})["it"]
    assert 0 <= found.bootstrap_low < found.bootstrap_high <= 1


@pytest.mark.parametrize("chance", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("num_samples", [60, 200])
def test_it_covers_with_turns_that_agree_within_dialogues(chance: float, num_samples: int) -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(600):
        sizes = rng.integers(1, 6, num_samples)
        right = rng.binomial(sizes, rng.beta(4 * chance, 4 * (1 - chance), num_samples))
        found = inference(num_samples).closed_form(share(right.astype(float), sizes.astype(float)))
        covered.append(found.low <= chance <= found.high)
    assert 0.93 <= np.mean(covered) <= 0.975
