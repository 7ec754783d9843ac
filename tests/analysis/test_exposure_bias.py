"""Exposure bias and gains on studies whose numbers are known by hand."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.ablation import Ablation, Arm, ablation
from analysis.records import load_study
from analysis.tables import to_markdown, to_terminal
from tests.analysis.study_writer import turn_record, write_run

DATA = Path(__file__).parent / "data"
Scores = Mapping[str, Mapping[int, float | None]]
"""Image scores by sample and turn; None is a failed turn."""


def write_arm(
    study: Path,
    strategy: str,
    scores: Scores,
    *,
    history: str = "own",
    seed: int = 0,
    classes: Mapping[str, str] | None = None,
) -> None:
    """One run from scores of image turns. `classes` names the class of samples other than "a"."""
    manifest: dict[str, Any] = {"strategy": strategy, "history": history, "seed": seed, "oracle": False}
    manifest |= {"run": f"{strategy}-{history}-{seed}", "benchmark": "toy"}
    planned, records = [], []
    for name, turns in scores.items():
        sample: dict[str, Any] = {
            "class": (classes or {}).get(name, "a"),
            "domain": "d",
            "task": "t",
            "sample_id": name,
        }
        sample["modalities"] = ["image"] * max(turns)
        planned.append(sample)
        for turn, score in turns.items():
            outcome = "scored" if score is not None else "model_error"
            records.append(turn_record(manifest, sample, turn, "image", outcome, score=score))
    write_run(study / manifest["run"], manifest | {"planned": planned}, records)


def analyse(study: Path, **options: Any) -> Ablation:
    return ablation(load_study(study), resamples=500, **options)


def arms_of(result: Ablation) -> dict[str, Arm]:
    return {arm.strategy: arm for arm in result.arms}


@pytest.fixture
def by_hand(tmp_path: Path) -> Ablation:
    write_arm(tmp_path, "direct", {"x": {1: 0.8, 2: 0.6, 3: 0.4}, "y": {1: 1.0, 2: 0.8}, "z": {1: 0.9}})
    write_arm(tmp_path, "direct", {"x": {1: 0.8, 2: 0.8, 3: 0.8}, "y": {1: 1.0, 2: 0.9}}, history="gold")
    write_arm(tmp_path, "cot", {"x": {1: 0.9, 2: 0.8, 3: 0.7}, "y": {1: 1.0, 2: 1.0}, "z": {1: 0.8}})
    write_arm(tmp_path, "cot", {"x": {2: 0.9, 3: 0.9}, "y": {2: 1.0}}, history="gold")
    return analyse(tmp_path)


def test_means_give_every_turn_equal_weight(by_hand: Ablation) -> None:
    arms = arms_of(by_hand)
    assert arms["direct"].image.value == pytest.approx((0.8 + 0.6 + 0.4 + 1.0 + 0.8 + 0.9) / 6)
    assert arms["cot"].gain is not None
    assert arms["cot"].gain.value == pytest.approx((0.1 + 0.2 + 0.3 + 0.0 + 0.2 - 0.1) / 6)
    assert arms["direct"].gain is None
    assert [e.value for e in arms["direct"].own] == pytest.approx([0.9, 0.7, 0.4])


def test_the_gap_is_paired_by_turn_and_starts_at_turn_2(by_hand: Ablation) -> None:
    bias = arms_of(by_hand)["direct"].exposure_bias
    assert bias is not None
    assert bias.mean.value == pytest.approx((0.2 + 0.4 + 0.1) / 3)
    assert [e.value for e in bias.per_turn] == pytest.approx([float("nan"), 0.15, 0.4], nan_ok=True)
    assert [e.value for e in arms_of(by_hand)["direct"].gold] == pytest.approx(
        [float("nan"), 0.85, 0.8], nan_ok=True
    )
    assert bias.num_missing == 0


def test_the_reduction_is_the_baselines_gap_less_the_strategys(by_hand: Ablation) -> None:
    bias = arms_of(by_hand)["cot"].exposure_bias
    assert bias is not None
    assert bias.reduction is not None
    assert bias.mean.value == pytest.approx((0.1 + 0.2 + 0.0) / 3)
    assert bias.reduction.value == pytest.approx((0.1 + 0.2 + 0.1) / 3)


def test_seeds_are_averaged_within_a_turn_first(tmp_path: Path) -> None:
    write_arm(tmp_path, "direct", {"x": {1: 0.2}, "y": {1: 1.0}})
    write_arm(tmp_path, "direct", {"x": {1: 0.4}, "y": {1: None}}, seed=1)
    (arm,) = analyse(tmp_path).arms
    assert arm.image.value == pytest.approx((0.3 + 1.0) / 2)
    assert (arm.num_scored, arm.num_planned, arm.num_samples) == (3, 4, 2)
    assert arm.bounds == pytest.approx(((0.3 + 0.5) / 2, (0.3 + 1.0) / 2))


def test_missing_turns_are_counted_and_bounded_and_pairs_need_both_sides(tmp_path: Path) -> None:
    write_arm(tmp_path, "direct", {"x": {1: 0.5, 2: 0.5, 3: 0.5}, "y": {1: 0.5, 2: 0.5}})
    # turn 2 of x fails; turn 3 was planned and never came
    write_arm(tmp_path, "cot", {"x": {1: 0.9, 2: None}, "y": {1: 0.7, 2: 0.6}})
    arm = arms_of(analyse(tmp_path))["cot"]
    assert arm.gain is not None
    assert arm.gain.value == pytest.approx((0.4 + 0.2 + 0.1) / 3)
    assert (arm.num_scored, arm.num_planned) == (3, 4)
    assert arm.bounds == pytest.approx((2.2 / 4, 3.2 / 4))
    assert "cot 1 (55.0 to 80.0)" in to_terminal(analyse(tmp_path))


def test_gains_are_given_by_class(tmp_path: Path) -> None:
    write_arm(tmp_path, "direct", {"x": {1: 0.5}, "y": {1: 0.5}, "z": {1: 0.5}}, classes={"z": "b"})
    write_arm(tmp_path, "cot", {"x": {1: 0.7}, "y": {1: 0.9}, "z": {1: 0.4}}, classes={"z": "b"})
    result = analyse(tmp_path)
    gains = arms_of(result)["cot"].gain_by_class
    assert {name: gain.value for name, gain in gains.items()} == pytest.approx({"a": 0.3, "b": -0.1})
    assert any("class b has one sample" in warning for warning in result.warnings)


def test_nestings_are_set_against_each_of_their_parts(tmp_path: Path) -> None:
    levels = {"direct": 0.4, "cot": 0.5, "best_of_4": 0.6, "best_of_4+cot": 0.6, "self_verify": 0.2}
    levels["best_of_4+self_verify+cot"] = 0.7
    for strategy, level in levels.items():
        write_arm(tmp_path, strategy, {name: {1: level} for name in "xyz"})
    found = {(n.strategy, n.part): n.finding for n in analyse(tmp_path).nestings}
    assert found == {
        ("best_of_4+cot", "cot"): "gain",
        ("best_of_4+cot", "best_of_4"): "none",
        ("best_of_4+self_verify+cot", "cot"): "gain",
        ("best_of_4+self_verify+cot", "self_verify"): "gain",
        ("best_of_4+self_verify+cot", "best_of_4"): "gain",
        ("best_of_4+self_verify+cot", "best_of_4+cot"): "gain",
    }


def write_csv_study(source: Path, study: Path) -> Path:
    """A study from the image turns of a table with one row per turn."""
    arms: dict[tuple[str, str], dict[str, dict[int, float | None]]] = defaultdict(lambda: defaultdict(dict))
    classes: dict[str, str] = {}
    with source.open(newline="") as rows:
        for row in (row for row in csv.DictReader(rows) if row["modality"] == "image"):
            classes[row["sample_id"]] = row["class"]
            arms[row["strategy"], row["history"]][row["sample_id"]][int(row["turn"])] = float(row["score"])
    for (strategy, history), scores in arms.items():
        write_arm(study, strategy, scores, history=history, classes=classes)
    return study


def test_a_small_exact_data_set_gives_its_known_numbers(tmp_path: Path) -> None:
    arms = arms_of(analyse(write_csv_study(DATA / "tiny.csv", tmp_path)))
    expected = {"direct": 0.6903703703703704, "verify": 0.7525925925925926, "constant": 1.0}
    assert {name: arm.image.value for name, arm in arms.items()} == pytest.approx(expected, abs=1e-9)
    biases = {name: arm.exposure_bias for name, arm in arms.items() if arm.exposure_bias}
    gaps = {"direct": 0.1768421052631579, "verify": 0.08842105263157896, "constant": 0.0}
    assert {name: bias.mean.value for name, bias in biases.items()} == pytest.approx(gaps, abs=1e-9)
    reductions = {name: bias.reduction.value for name, bias in biases.items() if bias.reduction}
    assert reductions == pytest.approx({"verify": 0.08842105263157896, "constant": gaps["direct"]}, abs=1e-9)
    shares = {name: bias.reduction_share.value for name, bias in biases.items() if bias.reduction_share}
    assert shares == pytest.approx({"verify": 0.5, "constant": 1.0})


def test_a_gap_of_0_is_never_divided_by(tmp_path: Path) -> None:
    result = analyse(write_csv_study(DATA / "tiny_flat.csv", tmp_path))
    biases = [arm.exposure_bias for arm in result.arms if arm.exposure_bias]
    assert [bias.mean.value for bias in biases] == pytest.approx([0, 0, 0], abs=1e-9)
    assert all(bias.reduction_share is None for bias in biases)
    report = to_markdown(result)
    assert "| n/a |" in report
    assert "nan" not in report
    assert "inf" not in report


def test_without_gold_history_the_word_is_decay(tmp_path: Path) -> None:
    write_arm(tmp_path, "direct", {"x": {1: 0.8, 2: 0.6}, "y": {1: 0.8, 2: 0.5}})
    result = analyse(tmp_path)
    report = to_markdown(result)
    assert result.tier == "D"
    assert "decay" in report
    assert "exposure bias" not in report.lower()


def test_another_baseline_can_be_named(tmp_path: Path) -> None:
    write_arm(tmp_path, "cot", {"x": {1: 0.8}, "y": {1: 0.6}})
    write_arm(tmp_path, "best_of_4", {"x": {1: 0.9}, "y": {1: 0.9}})
    assert all(arm.gain is None for arm in analyse(tmp_path).arms)
    assert "choose one with --baseline" in to_terminal(analyse(tmp_path))
    gain = arms_of(analyse(tmp_path, baseline="cot"))["best_of_4"].gain
    assert gain is not None
    assert gain.value == pytest.approx(0.2)
