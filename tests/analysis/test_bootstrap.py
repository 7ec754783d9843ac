"""The bootstrap against slow, direct resampling, and on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.bootstrap import Bootstrap, Floats
from analysis.inference import Estimate, Inference
from analysis.statistic import Statistic, mean, relative_reduction, within_slope

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


def inference(strata: tuple[str, ...], resamples: int = 400, seed: int = 0) -> Inference:
    """Every sample is a cluster of its own."""
    bootstrap = Bootstrap(strata=strata, resamples=resamples, seed=seed)
    return Inference(clusters=np.arange(len(strata)), bootstrap=bootstrap)


def draws(bootstrap: Bootstrap, statistic: Statistic) -> Floats:
    return statistic.at(bootstrap.totals(statistic.columns))


def estimate(statistic: Statistic, strata: tuple[str, ...], resamples: int = 400, seed: int = 0) -> Estimate:
    return inference(strata, resamples, seed).estimates({"it": statistic})["it"]


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
    for grid in (ragged_grid(1, len(CLASSES)), ragged_grid(2, len(CLASSES))):
        statistic = mean(grid)
        assert statistic.value == pytest.approx(np.nanmean(grid))
        np.testing.assert_allclose(
            draws(bootstrap, statistic), materialized_means(bootstrap, grid), rtol=1e-12
        )


def test_from_200_clusters_on_the_interval_is_that_of_percentiles() -> None:
    grid, strata = ragged_grid(5, 200), ("a",) * 120 + ("b",) * 80
    found = estimate(mean(grid), strata, resamples=900, seed=2)
    bootstrap = Bootstrap(strata=strata, resamples=900, seed=2)
    low, high = np.percentile(materialized_means(bootstrap, grid), (2.5, 97.5))
    assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx((low, high))


def test_below_200_clusters_the_interval_is_studentised() -> None:
    """Against a bootstrap-t in which every resample is really made, with a standard error of its own."""
    grid, strata = ragged_grid(5, 40), ("a",) * 40
    found = estimate(mean(grid), strata, resamples=600, seed=4)
    slow = []
    for counts in Bootstrap(strata=strata, resamples=600, seed=4).counts:
        drawn = np.repeat(grid, counts, axis=0)
        center, size = np.nanmean(drawn), np.isfinite(drawn).sum()
        influence = np.nansum(drawn - center, axis=1) / size
        slow.append((center - found.value) / np.sqrt(40 / 39 * np.sum(influence**2)))
    low, high = np.percentile(slow, (2.5, 97.5))
    expected = found.value - high * found.standard_error, found.value - low * found.standard_error
    assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx(expected)


def test_intervals_agree_with_a_slow_bootstrap_of_its_own() -> None:
    grid = ragged_grid(5, 200)
    rng = np.random.default_rng(11)
    slow = [np.nanmean(grid[rng.integers(200, size=200)]) for _ in range(4000)]
    found = estimate(mean(grid), ("a",) * 200, resamples=4000)
    width = found.bootstrap_high - found.bootstrap_low
    expected = pytest.approx((found.bootstrap_low, found.bootstrap_high), abs=0.06 * width)
    assert np.percentile(slow, (2.5, 97.5)) == expected
    assert np.std(slow) == pytest.approx(found.standard_error, rel=0.06)


def test_strategies_share_one_weight_matrix() -> None:
    bootstrap = Bootstrap(strata=CLASSES, resamples=300)
    first, second = np.nan_to_num(ragged_grid(1, 16)), np.nan_to_num(ragged_grid(2, 16))
    one, other, difference = (draws(bootstrap, mean(grid)) for grid in (first, second, first - second))
    np.testing.assert_allclose(one - other, difference, atol=1e-12)


def test_the_seed_decides_the_resamples() -> None:
    draw = [Bootstrap(strata=CLASSES, resamples=40, seed=seed).counts for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draw[0], draw[1])
    assert (draw[0] != draw[2]).any()


def test_one_cluster_has_no_interval_and_not_one_of_width_0() -> None:
    found = estimate(mean(np.full((1, 2), 0.5)), ("a",), resamples=100)
    assert found.value == 0.5
    assert np.isnan([found.low, found.high, found.standard_error, found.p, found.bootstrap_low]).all()


def test_strata_of_one_cluster_each_have_no_bootstrap_interval() -> None:
    found = estimate(mean(ragged_grid(1, 3)), ("a", "b", "c"), resamples=100)
    assert np.isnan([found.bootstrap_low, found.bootstrap_high]).all()


def test_samples_of_one_task_are_drawn_together() -> None:
    """Copies of a sample say nothing new: with the task as cluster the error is that of one copy."""
    grid = ragged_grid(3, 30)
    once = estimate(mean(grid), ("a",) * 30, resamples=500)
    thrice = Inference(clusters=np.arange(90) % 30, bootstrap=Bootstrap(strata=("a",) * 30, resamples=500))
    found = thrice.estimates({"it": mean(np.tile(grid, (3, 1)))})["it"]
    assert found.standard_error == pytest.approx(once.standard_error)
    assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx(
        (once.bootstrap_low, once.bootstrap_high)
    )


def test_an_empty_grid_has_no_value() -> None:
    found = estimate(mean(np.full((16, 2), np.nan)), CLASSES, resamples=100)
    assert np.isnan(found.value)
    assert found.num_units == 0
    assert found.reason


def test_a_ratio_is_of_sums_resample_by_resample_and_only_of_what_is_clearly_above_0() -> None:
    strata = ("a",) * 50
    clear, noise = ragged_grid(1, 50), np.random.default_rng(0).normal(0, 1, (50, 2))
    half = estimate(relative_reduction(clear / 2, clear), strata)
    assert (half.value, half.low, half.high) == pytest.approx((0.5, 0.5, 0.5))
    for reference in (noise, np.zeros((50, 2)), -clear):
        found = estimate(relative_reduction(np.zeros_like(reference), reference), strata)
        assert np.isnan([found.value, found.low, found.standard_error]).all()
        assert "three times its standard error" in found.reason or "nothing varies" in found.reason


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10), shift=st.floats(-1, 1))
def test_slopes_scale_with_the_scores_and_ignore_each_samples_level(
    seed: int, scale: float, shift: float
) -> None:
    grid = ragged_grid(seed, 12)
    moved = scale * grid + shift * np.arange(12)[:, None]
    before, after = (inference(CLASSES[:12]).closed_form(within_slope(g)) for g in (grid, moved))
    assert after.value == pytest.approx(scale * before.value, abs=1e-12)
    assert after.standard_error == pytest.approx(scale * before.standard_error, abs=1e-8)
