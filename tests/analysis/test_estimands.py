"""Exposure bias and gains on studies whose numbers are known by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.ablation import Ablation, Arm, ablation
from analysis.layout import to_markdown
from analysis.records import load_study
from analysis.tables import caption, tables
from analysis.terminal import to_terminal
from tests.analysis.study_writer import turn_record, write_run

Scores = Mapping[str, Mapping[int, float | None]]
"""Image scores by sample and turn; None is a failed turn."""


def write_arm(
    study: Path,
    strategy: str,
    scores: Scores,
    *,
    history: str = "own",
    seed: int = 0,
    history_from: str | None = None,
    classes: Mapping[str, str] | None = None,
) -> None:
    """One run from scores of image turns. `classes` names the class of samples other than "a"."""
    manifest: dict[str, Any] = {"strategy": strategy, "history": history, "seed": seed, "oracle": False}
    manifest |= {"run": f"{strategy}-{history}-{seed}", "benchmark": "toy", "history_from": history_from}
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
    assert arms["direct"].estimates["mean"].value == pytest.approx((0.8 + 0.6 + 0.4 + 1.0 + 0.8 + 0.9) / 6)
    gain = arms["cot"].estimates["mean_gain"]
    assert gain.value == pytest.approx((0.1 + 0.2 + 0.3 + 0.0 + 0.2 - 0.1) / 6)
    assert arms["direct"].estimates["mean_gain"].reason == "is the baseline"
    assert [e.value for e in arms["direct"].own] == pytest.approx([0.9, 0.7, 0.4])


def test_slopes_are_within_dialogues_and_pooled(by_hand: Ablation) -> None:
    found = arms_of(by_hand)["direct"].estimates
    # x: sum (t - 2) y = -0.4 over 2; y: -0.1 over 0.5; z has one turn and says nothing
    assert found["within_slope"].value == pytest.approx(-0.5 / 2.5)
    assert found["within_slope"].num_samples == 2
    turns, scores = np.array([1, 2, 3, 1, 2, 1]), np.array([0.8, 0.6, 0.4, 1.0, 0.8, 0.9])
    assert found["pooled_slope"].value == pytest.approx(np.polyfit(turns, scores, 1)[0])


def test_the_gap_is_paired_by_turn_and_starts_at_turn_2(by_hand: Ablation) -> None:
    arm = arms_of(by_hand)["direct"]
    assert arm.estimates["eb"].value == pytest.approx((0.2 + 0.4 + 0.1) / 3)
    assert [e.value for e in arm.gaps] == pytest.approx([float("nan"), 0.15, 0.4], nan_ok=True)
    assert [e.value for e in arm.gold] == pytest.approx([float("nan"), 0.85, 0.8], nan_ok=True)
    assert arm.estimates["eb"].num_missing == 0


def test_the_reduction_is_the_baselines_gap_less_the_strategys(by_hand: Ablation) -> None:
    found = arms_of(by_hand)["cot"].estimates
    assert found["eb"].value == pytest.approx((0.1 + 0.2 + 0.0) / 3)
    assert found["eb_reduction"].value == pytest.approx((0.1 + 0.2 + 0.1) / 3)


def test_seeds_are_averaged_within_a_turn_first(tmp_path: Path) -> None:
    write_arm(tmp_path, "direct", {"x": {1: 0.2}, "y": {1: 1.0}})
    write_arm(tmp_path, "direct", {"x": {1: 0.4}, "y": {1: None}}, seed=1)
    (arm,) = analyse(tmp_path).arms
    assert arm.estimates["mean"].value == pytest.approx((0.3 + 1.0) / 2)
    assert (arm.num_scored, arm.num_planned, arm.num_samples) == (3, 4, 2)
    assert arm.bounds == pytest.approx(((0.3 + 0.5) / 2, (0.3 + 1.0) / 2))


def test_missing_turns_are_counted_and_bounded_and_pairs_need_both_sides(tmp_path: Path) -> None:
    write_arm(tmp_path, "direct", {"x": {1: 0.5, 2: 0.5, 3: 0.5}, "y": {1: 0.5, 2: 0.5}})
    # turn 2 of x fails; turn 3 was planned and never came
    write_arm(tmp_path, "cot", {"x": {1: 0.9, 2: None}, "y": {1: 0.7, 2: 0.6}})
    arm = arms_of(analyse(tmp_path))["cot"]
    assert arm.estimates["mean_gain"].value == pytest.approx((0.4 + 0.2 + 0.1) / 3)
    assert arm.estimates["mean_gain"].num_missing == 2
    assert (arm.num_scored, arm.num_planned) == (3, 4)
    assert arm.bounds == pytest.approx((2.2 / 4, 3.2 / 4))
    assert "cot 1 (55.0 to 80.0)" in to_terminal(analyse(tmp_path))


def test_gains_are_given_by_class(tmp_path: Path) -> None:
    write_arm(tmp_path, "direct", {"x": {1: 0.5}, "y": {1: 0.5}, "z": {1: 0.5}}, classes={"z": "b"})
    write_arm(tmp_path, "cot", {"x": {1: 0.7}, "y": {1: 0.9}, "z": {1: 0.4}}, classes={"z": "b"})
    result = analyse(tmp_path)
    gains = {group.name: group.gain.value for group in result.groups if group.level == "class"}
    assert gains == pytest.approx({"a": 0.3, "b": -0.1})
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


def test_without_gold_history_the_word_is_decay(tmp_path: Path) -> None:
    write_arm(tmp_path, "direct", {"x": {1: 0.8, 2: 0.6}, "y": {1: 0.8, 2: 0.5}})
    result = analyse(tmp_path)
    report = to_terminal(result) + "".join(to_markdown(table, caption(result)) for table in tables(result))
    assert result.tier == "D"
    assert "decay" in report
    assert "exposure bias" not in report.lower()


def test_another_baseline_can_be_named(tmp_path: Path) -> None:
    write_arm(tmp_path, "cot", {"x": {1: 0.8}, "y": {1: 0.6}})
    write_arm(tmp_path, "best_of_4", {"x": {1: 0.9}, "y": {1: 0.9}})
    assert not any(arm.estimates["mean_gain"].is_defined for arm in analyse(tmp_path).arms)
    assert "choose one with --baseline" in to_terminal(analyse(tmp_path))
    gain = arms_of(analyse(tmp_path, baseline="cot"))["best_of_4"].estimates["mean_gain"]
    assert gain.value == pytest.approx(0.2)


def test_two_parts_that_add_up_have_no_synergy(tmp_path: Path) -> None:
    for strategy, level in {"direct": 0.4, "cot": 0.5, "best_of_4": 0.6, "best_of_4+cot": 0.75}.items():
        write_arm(tmp_path, strategy, {name: {1: level} for name in "xyz"})
    (synergy,) = analyse(tmp_path).synergies
    assert (synergy.strategy, set(synergy.parts)) == ("best_of_4+cot", {"cot", "best_of_4"})
    assert synergy.difference.value == pytest.approx(0.05)


def test_a_swap_gives_the_gain_of_the_baseline_on_the_history_of_another(tmp_path: Path) -> None:
    write_arm(tmp_path, "direct", {"x": {1: 0.8, 2: 0.6, 3: 0.4}, "y": {1: 1.0, 2: 0.8}})
    write_arm(tmp_path, "cot", {"x": {1: 0.9, 2: 0.8, 3: 0.7}, "y": {1: 1.0, 2: 1.0}})
    swapped = {"x": {1: 0.8, 2: 0.7, 3: 0.7}, "y": {1: 1.0, 2: 0.9}}
    write_arm(tmp_path, "direct", swapped, history="swap", history_from="cot-own-0")
    result = analyse(tmp_path)
    arm = arms_of(result)["cot"]
    assert arm.estimates["history_gain"].value == pytest.approx((0.1 + 0.3 + 0.1) / 3)
    assert arm.finding.tier == result.tier == "C"
    assert "exposure" not in arm.finding.sentence
