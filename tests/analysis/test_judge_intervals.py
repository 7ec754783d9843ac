"""Intervals of judges that are near perfect cover, at 40 dialogues."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from analysis.bootstrap import Bootstrap, Floats
from analysis.inference import Estimate, Inference
from analysis.judge_intervals import auc_interval, share_interval
from analysis.selection import Verdicts
from analysis.statistic import ratio

NUM_SETS, DIALOGUES, EACH = 400, 40, 4
ROWS = np.repeat(np.arange(DIALOGUES), EACH)
INFERENCE = Inference(
    clusters=np.arange(DIALOGUES), bootstrap=Bootstrap(strata=("a",) * DIALOGUES, resamples=2)
)


@pytest.mark.parametrize(("apart", "threshold"), [(2.0, 1.5), (3.0, 2.0), (3.5, 2.25)])
def test_auc_and_rejection_rate_of_a_good_judge(apart: float, threshold: float) -> None:
    """Normal verdicts, perfect images `apart` higher: AUC .92 to .993, TNR .93 to .988."""
    rng = np.random.default_rng(1)
    auc, rejected = norm.cdf(apart / np.sqrt(2)), norm.cdf(threshold)
    covered = []
    for _ in range(NUM_SETS):
        is_perfect = rng.random(len(ROWS)) < 0.6
        verdict = np.where(is_perfect, apart, 0.0) + rng.normal(size=len(ROWS))
        read = Verdicts(kind="probability", threshold=threshold, cluster=ROWS, verdict=verdict)
        found = read.accuracy(is_perfect, DIALOGUES, INFERENCE)
        rate = found.true_negative_rate
        covered.append((found.auc.low <= auc <= found.auc.high, rate.low <= rejected <= rate.high))
    for share in np.mean(covered, axis=0):
        assert 0.92 <= share <= 0.985


@pytest.mark.parametrize("missed", [0.05, 0.2, 1.0])
def test_the_share_of_a_selector_that_seldom_misses_the_best(missed: float) -> None:
    """Two pools of four to a dialogue; the pick is the best, or random in a share `missed` of the pools."""
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(NUM_SETS):
        gained, possible = (sums.sum(axis=1) for sums in pools(rng, (DIALOGUES, 2), missed))
        estimate = INFERENCE.closed_form(ratio(gained, possible))
        found = share_interval(estimate, DIALOGUES)
        covered.append(found.low <= 1 - missed <= found.high)
        assert found.low < found.high <= 1
    assert 0.92 <= np.mean(covered) <= 0.98


def pools(rng: np.random.Generator, shape: tuple[int, int], missed: float) -> tuple[Floats, Floats]:
    """(arm - random, best - random) of pools of four candidates."""
    grades = np.round(15 * rng.random((*shape, 4))) / 15
    best, random = grades.max(axis=2), grades.mean(axis=2)
    picked = np.where(rng.random(shape) < missed, grades[..., 0], best)
    return picked - random, best - random


def test_a_perfect_judge_of_few_dialogues_is_not_proven_perfect() -> None:
    perfect = Estimate(value=1.0, standard_error=0.0)
    assert 0.5 < auc_interval(perfect, 12).low < 0.9
    assert auc_interval(perfect, 12).high == share_interval(perfect, 12).high == 1
    assert share_interval(perfect, 12).low < 0.9
    assert np.isnan(auc_interval(perfect, 1).low)
    assert np.isnan(share_interval(perfect, 1).low)
