"""Intervals and tests keep their promises on data whose truth is known (fixed seeds, 60 samples each)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from analysis.bootstrap import Bootstrap, Floats
from analysis.inference import Estimate, Inference
from analysis.statistic import Statistic, mean, within_slope

NUM_SETS, NUM_SAMPLES, NUM_TURNS = 200, 60, 6
INFERENCE = Inference(
    clusters=np.arange(NUM_SAMPLES), bootstrap=Bootstrap(strata=("a",) * NUM_SAMPLES, resamples=1)
)


@dataclass(frozen=True)
class World:
    """How scores fall over turns, per history and strategy; the truth of each comparison follows."""

    direct_decay: float = 0.05
    decay: float = 0.03
    gold_decay: float = 0.01

    @property
    def slope_change(self) -> float:
        return self.direct_decay - self.decay

    def eb_reduction(self, known: Floats) -> float:
        """The mean over cells of what gold history takes off, the baseline's less the strategy's."""
        turns = np.broadcast_to(np.arange(NUM_TURNS), known.shape)[np.isfinite(known)]
        return float(np.mean(turns)) * self.slope_change

    def scores(self, rng: np.random.Generator) -> dict[tuple[str, str], Floats]:
        """Ragged dialogues with sample effects; away from 0 and 1, so that the truth is exact."""
        turns = np.arange(NUM_TURNS)
        lengths = rng.integers(1, NUM_TURNS + 1, (NUM_SAMPLES, 1))
        shared = 0.6 + rng.normal(0, 0.06, (NUM_SAMPLES, 1)) + 0.01 * lengths + rng.normal(0, 0.03, NUM_TURNS)
        decays = {"direct": self.direct_decay, "cot": self.decay}
        arms = {(s, "own"): d for s, d in decays.items()} | {(s, "gold"): self.gold_decay for s in decays}
        return {
            arm: np.where(turns < lengths, shared - decay * turns + _noise(rng), np.nan)
            for arm, decay in arms.items()
        }


def _noise(rng: np.random.Generator) -> Floats:
    """Bounded, discrete, and heavier in some samples than in others."""
    spread = rng.choice([0.02, 0.08], (NUM_SAMPLES, 1))
    return spread * rng.integers(-2, 3, (NUM_SAMPLES, NUM_TURNS))


def comparisons(world: World, seed: int) -> tuple[Estimate, Estimate, float]:
    """Slope change, EB reduction, and the truth of the latter."""
    scores = world.scores(np.random.default_rng(seed))
    gaps = {s: scores[s, "gold"] - scores[s, "own"] for s in ("direct", "cot")}
    reduced = gaps["direct"] - gaps["cot"]
    reduced[:, 0] = np.nan
    slope: Statistic = within_slope(scores["cot", "own"] - scores["direct", "own"])
    slope_change, reduction = (INFERENCE.closed_form(s) for s in (slope, mean(reduced)))
    return slope_change, reduction, world.eb_reduction(reduced)


@pytest.fixture(scope="module")
def with_effect() -> list[tuple[Estimate, Estimate, float]]:
    return [comparisons(World(), seed) for seed in range(NUM_SETS)]


@pytest.fixture(scope="module")
def without_effect() -> list[tuple[Estimate, Estimate, float]]:
    return [comparisons(World(decay=0.05), 10_000 + seed) for seed in range(2 * NUM_SETS)]


def test_intervals_of_the_slope_change_cover_the_truth(
    with_effect: list[tuple[Estimate, Estimate, float]],
) -> None:
    covered = [slope.low <= World().slope_change <= slope.high for slope, _, _ in with_effect]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_intervals_of_the_reduction_cover_the_truth(
    with_effect: list[tuple[Estimate, Estimate, float]],
) -> None:
    covered = [reduction.low <= truth <= reduction.high for _, reduction, truth in with_effect]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_no_effect_is_called_significant_in_about_5_percent(
    without_effect: list[tuple[Estimate, Estimate, float]],
) -> None:
    for found in zip(*((slope, reduction) for slope, reduction, _ in without_effect), strict=True):
        assert 0.03 <= np.mean([estimate.p < 0.05 for estimate in found]) <= 0.08


def test_the_detectable_effect_is_found_in_about_80_percent() -> None:
    _, reduction, _ = comparisons(World(decay=0.05), 1)
    power = reduction.detectable / 2.5  # turns 2 to 6 lie 2.5 on average behind the first, ragged as they are
    world = World(decay=0.05 - power)
    found = [comparisons(world, 50_000 + seed)[1].p < 0.05 for seed in range(NUM_SETS)]
    assert 0.6 <= np.mean(found) <= 0.95
