"""The area under the ROC curve, against the table of all pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from analysis.auc import Auc
from analysis.bootstrap import Bootstrap
from analysis.inference import Inference

SAMPLES, VERDICTS = 12, 90
CLUSTERS = np.arange(SAMPLES) // 2
"""Two samples each."""


def verdicts(num_heights: int) -> Auc:
    random = np.random.default_rng(num_heights)
    return Auc(
        num_samples=SAMPLES,
        sample=random.integers(0, SAMPLES - 2, VERDICTS),  # the last two samples have none
        verdict=random.integers(0, num_heights, VERDICTS) / num_heights,
        positive=random.random(VERDICTS) < 0.4,
    )


def over_all_pairs(auc: Auc, times: npt.NDArray[np.int64]) -> float:
    """The AUC of the verdicts, each as many times as it is told."""
    verdict, positive = np.repeat(auc.verdict, times), np.repeat(auc.positive, times)
    won = np.sign(verdict[positive][:, None] - verdict[~positive][None, :])
    return float((won + 1).mean() / 2)


@pytest.mark.parametrize("num_heights", [2, 9, 5000])
def test_it_is_the_share_of_pairs_in_every_resample(num_heights: int) -> None:
    auc = verdicts(num_heights)
    bootstrap = Bootstrap(strata=("hybrid",) * 6, resamples=40)
    inference = Inference(clusters=CLUSTERS, bootstrap=bootstrap)
    assert auc.value == pytest.approx(over_all_pairs(auc, np.ones(VERDICTS, np.int64)), abs=1e-12)
    slow = [over_all_pairs(auc, counts[CLUSTERS[auc.sample]]) for counts in bootstrap.counts.astype(int)]
    np.testing.assert_allclose(auc.draws(inference), slow, rtol=1e-12)
    assert auc.influence.sum() == pytest.approx(0, abs=1e-12)


def test_its_estimate_counts_samples_verdicts_and_clusters() -> None:
    inference = Inference(clusters=CLUSTERS, bootstrap=Bootstrap(strata=("hybrid",) * 6, resamples=40))
    found = inference.resampled(verdicts(9))
    assert (found.num_samples, found.num_units, found.num_clusters) == (10, VERDICTS, 5)
    assert found.to_json()["n_clusters"] == 5
