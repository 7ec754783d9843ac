"""Agreement with human raters, and means that their labels correct."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.agreement import Agreement, Pairs, agreement, corrected_mean
from analysis.bootstrap import Bootstrap
from analysis.estimands import estimates
from analysis.inference import Estimate, Inference
from analysis.long_csv import load_csv
from analysis.panel import Panel
from analysis.records import Study
from tests.analysis.tables_of_turns import Effect, make_rows, write_csv

SCORER_BIAS = 0.05


def labelled(folder: Path, share: float, *, seed: int = 0) -> Study:
    """A human sees `SCORER_BIAS` less than the scorer, with noise, on a random share of the dialogues."""
    rng = np.random.default_rng(seed)
    rows = make_rows({"direct": Effect(level=0.6), "cot": Effect(level=0.65)}, num_samples=300, seed=seed)
    chosen = {f"s{i}" for i in range(300) if rng.random() < share}
    for row in rows:
        seen = row["score"] - SCORER_BIAS + rng.normal(0, 0.05)
        row["human_score"] = round(min(1.0, max(0.0, seen)), 3) if row["sample_id"] in chosen else ""
    return load_csv(write_csv(folder / "runs.csv", rows))


def agreement_of(study: Study) -> Agreement | None:
    panel = Panel.of(study)
    return agreement(study, panel, panel.inference("sample", 200, 0))


def estimates_of(study: Study) -> dict[str, dict[str, Estimate]]:
    panel = Panel.of(study)
    return estimates(panel, panel.inference("sample", 200, 0), "direct")


def test_labels_correct_the_mean_and_are_made_precise_by_the_scorer(tmp_path: Path) -> None:
    found = estimates_of(labelled(tmp_path, 0.25))
    direct, gain = found["direct"], found["cot"]
    corrected = direct["mean"].value - SCORER_BIAS
    assert direct["human_mean"].value == pytest.approx(corrected, abs=0.008)
    assert direct["human_mean"].num_samples < 120
    everything = estimates_of(labelled(tmp_path, 1.0))["direct"]["human_mean"]
    # a quarter of the labels, and yet not twice the error
    assert direct["human_mean"].standard_error < 1.4 * everything.standard_error
    assert gain["human_gain"].value == pytest.approx(gain["mean_gain"].value, abs=0.02)
    assert direct["human_mean"].low < corrected < direct["human_mean"].high


def test_labels_of_one_seed_correct_the_mean_of_all(tmp_path: Path) -> None:
    """Raters who say what the scorer says correct nothing, whichever seed they saw."""
    effects = {"direct": Effect(level=0.6), "cot": Effect(level=0.65)}
    rows = make_rows(effects, num_samples=60, seeds=(0, 1, 2))
    for row in rows:
        is_labelled = (row["seed"], row["history"], row["modality"]) == (0, "own", "image")
        row["human_score"] = row["score"] if is_labelled else ""
    found = estimates_of(load_csv(write_csv(tmp_path / "runs.csv", rows)))
    assert found["direct"]["human_mean"].value == pytest.approx(found["direct"]["mean"].value)
    assert found["cot"]["human_gain"].value == pytest.approx(found["cot"]["mean_gain"].value)


def test_without_labels_there_is_no_human_mean(tmp_path: Path) -> None:
    study = labelled(tmp_path, 0.0)
    assert agreement_of(study) is None
    assert not estimates_of(study)["direct"]["human_mean"].is_defined


def test_the_corrected_mean_is_that_of_ppi_plus_plus() -> None:
    """Against the estimator as the paper writes it: separate labelled and unlabelled sets, tuned lambda."""
    rng = np.random.default_rng(3)
    scorer = rng.random((400, 1))
    human = np.where(rng.random((400, 1)) < 0.3, scorer - 0.1 + rng.normal(0, 0.1, (400, 1)), np.nan)
    known = np.isfinite(human)
    y, f, unlabelled = human[known], scorer[known], scorer[~known]
    size, rest = len(y), len(unlabelled)
    tuned = np.cov(y, f, ddof=0)[0, 1] / ((1 + size / rest) * np.var(scorer))
    expected = np.mean(y) + tuned * (np.mean(unlabelled) - np.mean(f))
    statistic = corrected_mean(human, scorer)
    assert statistic.value == pytest.approx(expected, abs=1e-12)
    inference = Inference(clusters=np.arange(400), bootstrap=Bootstrap(strata=("a",) * 400, resamples=4000))
    found = inference.estimates({"it": statistic})["it"]
    paper = np.sqrt(tuned**2 * np.var(unlabelled) / rest + np.var(y - tuned * f) / size)
    assert found.standard_error == pytest.approx(paper, rel=0.03)
    assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx((found.low, found.high), abs=0.002)


def test_a_scorer_that_knows_nothing_does_no_harm() -> None:
    rng = np.random.default_rng(5)
    human = np.where(rng.random((300, 1)) < 0.3, rng.random((300, 1)), np.nan)
    opposite = np.where(np.isfinite(human), 1 - human, rng.random((300, 1)))
    assert corrected_mean(human, opposite).value == pytest.approx(np.nanmean(human))
    assert corrected_mean(human, np.full((300, 1), 0.5)).value == pytest.approx(np.nanmean(human))


def test_agreement_by_hand(tmp_path: Path) -> None:
    """ICC(2,1) and alpha against their definitions, over all pairs of ratings."""
    found = agreement_of(labelled(tmp_path, 0.1))
    assert found is not None
    human, scorer = np.array(found.pairs).T
    assert found.pearson.value == pytest.approx(np.corrcoef(human, scorer)[0, 1])
    assert found.bias.value == pytest.approx(np.mean(scorer - human))
    ratings = np.stack([human, scorer], axis=1)
    size, center = len(ratings), ratings.mean()
    rows = 2 * np.sum((ratings.mean(axis=1) - center) ** 2) / (size - 1)
    columns = size * np.sum((ratings.mean(axis=0) - center) ** 2)
    residuals = ratings - ratings.mean(axis=1, keepdims=True) - ratings.mean(axis=0) + center
    error = np.sum(residuals**2) / (size - 1)
    icc = (rows - error) / (rows + error + 2 * (columns - error) / size)
    assert found.icc.value == pytest.approx(icc)
    assert found.alpha.value == pytest.approx(krippendorff(ratings))


def test_a_rating_is_compared_with_the_score_of_its_own_seed(tmp_path: Path) -> None:
    """Raters label the first of three seeds and say what the scorer says: agreement is perfect."""
    rows = make_rows({"direct": Effect(level=0.6)}, num_samples=60, seeds=(0, 1, 2))
    for row in rows:
        is_labelled = (row["seed"], row["history"], row["modality"]) == (0, "own", "image")
        row["human_score"] = row["score"] if is_labelled else ""
    found = agreement_of(load_csv(write_csv(tmp_path / "runs.csv", rows)))
    assert found is not None
    assert [e.value for e in (found.pearson, found.icc, found.alpha)] == pytest.approx([1, 1, 1])
    assert found.bias.value == 0
    assert found.pearson.num_units == len(found.pairs) == sum(row["human_score"] != "" for row in rows) > 100


@pytest.mark.parametrize("num_samples", [3, 12])
def test_intervals_of_agreement_end_at_one(tmp_path: Path, num_samples: int) -> None:
    rows = make_rows({"direct": Effect(level=0.6)}, num_samples=num_samples, seeds=(0, 1))
    for number, row in enumerate(rows):
        row["human_score"] = round(max(0.0, row["score"] - 0.02 * (number % 3)), 3)
    found = agreement_of(load_csv(write_csv(tmp_path / "runs.csv", rows)))
    assert found is not None
    for estimate in (found.pearson, found.icc, found.alpha):
        assert -1 <= estimate.low < estimate.value < estimate.high <= 1


def test_the_interval_of_a_correlation_covers() -> None:
    """Pairs of known correlation, three to a dialogue: Fisher's scale with the clustered standard error."""
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(400):
        shared, noise = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
        pairs = Pairs(
            sample=np.repeat(np.arange(40), 3),
            human=shared.ravel(),
            scorer=(0.95 * shared + np.sqrt(1 - 0.95**2) * noise).ravel(),
            num_samples=40,
        )
        strata = ("a",) * 40
        inference = Inference(clusters=np.arange(40), bootstrap=Bootstrap(strata=strata, resamples=2))
        found = pairs.estimates(inference)["pearson"]
        covered.append(found.low <= 0.95 <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.975


def krippendorff(ratings: np.typing.NDArray[np.float64]) -> float:
    """Ordinal alpha as Krippendorff writes it: distances from the counts of all values between two."""
    values, counts = np.unique(ratings, return_counts=True)
    place = {value: index for index, value in enumerate(values)}

    def distance(one: float, other: float) -> float:
        low, high = sorted((place[one], place[other]))
        between = counts[low : high + 1].sum() - (counts[low] + counts[high]) / 2
        return float(between**2) if low != high else 0.0

    everything = ratings.ravel()
    observed = np.mean([distance(*pair) for pair in ratings])
    # a rating paired with itself is 0 apart, and is no pair
    total = sum(distance(one, other) for one in everything for other in everything)
    return float(1 - observed / (total / (len(everything) * (len(everything) - 1))))
