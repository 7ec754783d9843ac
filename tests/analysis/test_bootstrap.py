"""The bootstrap against slow, direct resampling, and on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.bootstrap import Bootstrap, Floats, is_well_above_zero, ratio_of

CLASSES = ("a",) * 7 + ("b",) * 5 + ("c",) * 4


def ragged_grid(seed: int, samples: int, turns: int = 4) -> Floats:
    """Scores with sample effects, a fall over turns, and dialogues of different lengths."""
    rng = np.random.default_rng(seed)
    grid = (
        0.7
        + rng.normal(0, 0.1, (samples, 1))
        - 0.05 * np.arange(turns)
        + rng.normal(0, 0.1, (samples, turns))
    )
    lengths = rng.integers(1, turns + 1, samples)
    return np.where(np.arange(turns) < lengths[:, None], grid.clip(0, 1), np.nan)


def materialized_means(bootstrap: Bootstrap, grid: Floats) -> Floats:
    """Each resample's mean, from a grid in which rows are really repeated."""
    return np.array([np.nanmean(np.repeat(grid, counts, axis=0)) for counts in bootstrap.counts])


@settings(max_examples=25, deadline=None)
@given(strata=st.lists(st.sampled_from("abcd"), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_every_resample_keeps_the_size_of_each_class(strata: list[str], seed: int) -> None:
    counts = Bootstrap(strata=tuple(strata), resamples=20, seed=seed).counts
    for stratum in set(strata):
        members = np.array(strata) == stratum
        assert (counts[:, members].sum(axis=1) == members.sum()).all()


def test_a_class_of_one_sample_is_held_fixed() -> None:
    counts = Bootstrap(strata=("a", "a", "lone", "a"), resamples=50).counts
    assert (counts[:, 2] == 1).all()
    assert counts[:, 0].std() > 0


def test_means_equal_those_of_materialized_resamples() -> None:
    bootstrap = Bootstrap(strata=CLASSES, resamples=700, seed=3)
    grids = [ragged_grid(1, len(CLASSES)), ragged_grid(2, len(CLASSES))]
    for grid, statistic in zip(grids, bootstrap.means(grids), strict=True):
        assert statistic.value == pytest.approx(np.nanmean(grid))
        np.testing.assert_allclose(statistic.draws, materialized_means(bootstrap, grid), rtol=1e-12)
        low, high = np.percentile(statistic.draws, (2.5, 97.5))
        assert (statistic.estimate().low, statistic.estimate().high) == pytest.approx((low, high))


def test_intervals_agree_with_a_slow_bootstrap_of_its_own() -> None:
    grid = ragged_grid(5, 60)
    rng = np.random.default_rng(11)
    slow = [np.nanmean(grid[rng.integers(60, size=60)]) for _ in range(4000)]
    (statistic,) = Bootstrap(strata=("a",) * 60, resamples=4000).means([grid])
    estimate = statistic.estimate()
    width = estimate.high - estimate.low
    assert np.percentile(slow, (2.5, 97.5)) == pytest.approx((estimate.low, estimate.high), abs=0.06 * width)
    assert np.std(slow) == pytest.approx(estimate.standard_error, rel=0.06)


def test_strategies_share_one_weight_matrix() -> None:
    bootstrap = Bootstrap(strata=CLASSES, resamples=300)
    first, second = np.nan_to_num(ragged_grid(1, 16)), np.nan_to_num(ragged_grid(2, 16))
    one, other, difference = bootstrap.means([first, second, first - second])
    np.testing.assert_allclose(one.draws - other.draws, difference.draws, atol=1e-12)
    (again,) = bootstrap.means([first])
    np.testing.assert_array_equal(again.draws, one.draws)


def test_the_seed_decides_the_resamples() -> None:
    draw = [Bootstrap(strata=CLASSES, resamples=40, seed=seed).counts for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draw[0], draw[1])
    assert (draw[0] != draw[2]).any()


def test_a_quadratic_form_equals_the_sum_over_pairs_of_drawn_samples() -> None:
    bootstrap = Bootstrap(strata=CLASSES, resamples=600)
    form = np.random.default_rng(0).random((16, 16))
    form[4], form[:, 4] = 0, 0
    slow = []
    for counts in bootstrap.counts:
        drawn = np.repeat(np.arange(16), counts)
        slow.append(form[np.ix_(drawn, drawn)].sum())
    np.testing.assert_allclose(bootstrap.quadratic(form), slow, rtol=1e-12)


@pytest.mark.parametrize("strata", [("a",), ("a", "b", "c")])
def test_without_two_samples_to_draw_from_the_interval_is_undefined_and_not_of_width_0(
    strata: tuple[str, ...],
) -> None:
    (statistic,) = Bootstrap(strata=strata, resamples=100).means([np.full((len(strata), 2), 0.5)])
    estimate = statistic.estimate()
    assert estimate.value == 0.5
    assert np.isnan([estimate.low, estimate.high, estimate.standard_error]).all()


def test_an_empty_grid_has_no_value() -> None:
    (statistic,) = Bootstrap(strata=CLASSES, resamples=100).means([np.full((16, 2), np.nan)])
    assert np.isnan(statistic.estimate().value)
    assert statistic.num_units == 0


def test_a_ratio_is_taken_resample_by_resample_and_only_of_what_is_clearly_above_0() -> None:
    bootstrap = Bootstrap(strata=("a",) * 50, resamples=500)
    clear, noise = ragged_grid(1, 50), np.random.default_rng(0).normal(0, 1, (50, 2))
    above, below, near_zero, zero = bootstrap.means([clear / 2, clear, noise, np.zeros((50, 2))])
    ratio = ratio_of(above, below)
    assert ratio.value == pytest.approx(0.5)
    np.testing.assert_allclose(ratio.draws, 0.5)
    assert is_well_above_zero(below)
    assert not is_well_above_zero(near_zero)
    assert not is_well_above_zero(zero)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """200 studies of 200 dialogues with correlated turns and ragged lengths: 95 % cover, within noise."""
    truth = 0.5
    strata = ("a",) * 100 + ("b",) * 100
    covered = 0
    for study in range(200):
        rng = np.random.default_rng(study)
        effects = rng.normal(0, 0.15, (200, 1)) + rng.normal(0, 0.2, (200, 4))
        grid = np.where(np.arange(4) < rng.integers(1, 5, 200)[:, None], truth + effects, np.nan)
        (statistic,) = Bootstrap(strata=strata, resamples=400, seed=study).means([grid])
        estimate = statistic.estimate()
        covered += estimate.low <= truth <= estimate.high
    assert 0.90 <= covered / 200 <= 0.99
