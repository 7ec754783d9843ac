"""What the exposure gap is made of, how errors reach answers, and what wears history out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.ablation import Ablation, ablation
from analysis.figures.composition import parts_of_the_gap
from analysis.figures.effects import gap_over_turns
from analysis.long_csv import load_csv
from analysis.numbers import to_json
from analysis.records import load_study
from analysis.tables import tables
from tests.analysis.study_writer import StudyWriter, turn_record, write_run
from tests.analysis.tables_of_turns import Row, rows_of, write_csv

Cell = tuple[float, float]
"""Score and step score."""


def write_arm(study: Path, strategy: str, history: str, cells: dict[str, dict[int, Cell]]) -> None:
    """A run whose images have a score and a step score."""
    manifest: dict[str, Any] = {"strategy": strategy, "history": history, "seed": 0, "oracle": False}
    manifest |= {"run": f"{strategy}-{history}", "benchmark": "toy"}
    planned, records = [], []
    for name, turns in cells.items():
        sample = {"class": "a", "domain": "d", "task": "t", "sample_id": name, "modalities": ["image"] * 3}
        planned.append(sample)
        for turn, (score, step) in turns.items():
            detail = {"step_score": step}
            records.append(turn_record(manifest, sample, turn, "image", score=score, score_detail=detail))
    write_run(study / manifest["run"], manifest | {"planned": planned}, records)


@pytest.fixture
def with_steps(tmp_path: Path) -> Ablation:
    """Own history: an error at turn 2 is counted again at turn 3, at which half of it is new."""
    own = {n: {1: (1.0, 1.0), 2: (0.8, 0.8), 3: (a, 0.8)} for n, a in {"x": 0.6, "y": 0.5}.items()}
    other = {n: {1: (1.0, 1.0), 2: (0.9, 0.9), 3: (a, 1.0)} for n, a in {"x": 0.9, "y": 0.8}.items()}
    gold = {n: {2: (1.0, 1.0), 3: (1.0, 1.0)} for n in "xy"}
    for strategy, cells in {"direct": own, "cot": other}.items():
        write_arm(tmp_path, strategy, "own", cells)
        write_arm(tmp_path, strategy, "gold", gold)
    return ablation(load_study(tmp_path), resamples=200)


def test_the_gap_is_inherited_damage_and_lost_skill(with_steps: Ablation) -> None:
    found = {arm.strategy: arm.estimates for arm in with_steps.arms}
    whole = (0.2 + 0.2 + 0.4 + 0.5) / 4
    assert found["direct"]["eb"].value == pytest.approx(whole)
    assert found["direct"]["eb_step"].value == pytest.approx(0.2)
    assert found["direct"]["eb_inherited"].value == pytest.approx(whole - 0.2)
    assert found["direct"]["eb_step_share"].value == pytest.approx(0.2 / whole)
    assert found["cot"]["eb_step_reduction"].value == pytest.approx(0.2 - 0.05)
    rows = {row[0]: row for table in tables(with_steps) if table.name.startswith("T2b") for row in table.rows}
    assert rows["direct: lost skill"][-1].startswith("+20.0")
    assert parts_of_the_gap(with_steps) is not None


def test_a_benchmark_without_step_scores_says_so(tmp_path: Path) -> None:
    rows = rows_of("direct", {"x": {1: 1.0, 2: 0.5}, "y": {1: 1.0, 2: 0.6}})
    rows += rows_of("direct", {"x": {2: 0.9}, "y": {2: 0.9}}, "gold")
    result = ablation(load_csv(write_csv(tmp_path / "runs.csv", rows)), resamples=200)
    found = to_json(result)["strategies"]["direct"]["eb_step"]
    assert (found["est"], found["reason"]) == (None, "the benchmark has no step scores")
    assert any("no step scores" in note for table in tables(result) for note in table.notes)
    assert parts_of_the_gap(result) is None


def dialogues(slope: float, *, lose: float = 0.0) -> list[Row]:
    """Image, question, image, question; answers on own history lose `slope` times the error before them."""
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for number in range(60):
        first, second = rng.uniform(0.3, 1.0, 2)
        level = rng.uniform(0.5, 0.6)
        answers = {2: level - slope * (1 - first), 4: level - slope * (1 - second)}
        rows += rows_of("direct", {f"s{number}": {1: first, 3: second}})
        rows += rows_of("direct", {f"s{number}": answers}, modality="mcq")
        gold = dict.fromkeys((2, 4), level - lose)
        rows += rows_of("direct", {f"s{number}": gold}, "gold", modality="mcq")
    return rows


def test_errors_of_images_reach_answers(tmp_path: Path) -> None:
    rows = dialogues(0.4)
    (found, _) = ablation(load_csv(write_csv(tmp_path / "runs.csv", rows)), resamples=200).coupling
    assert (found.kind, found.slope.num_samples) == ("text", 60)
    assert found.slope.value == pytest.approx(-0.4)
    errors = [1 - row["score"] for row in rows if row["modality"] == "image"]
    assert found.gap.value == pytest.approx(0.4 * np.mean(errors))
    assert found.gap.p_adjusted == found.gap.p < 0.001


def test_a_slope_within_dialogues_needs_dialogues(tmp_path: Path) -> None:
    rows = [row for row in dialogues(0.4) if row["sample_id"] in ("s1", "s2", "s3")]
    found = ablation(load_csv(write_csv(tmp_path / "runs.csv", rows)), resamples=200).coupling[0]
    assert not found.slope.is_defined
    assert "3 dialogues have two such turns" in found.slope.reason
    assert found.gap.is_defined


def mixed(per_image: float, per_other: float, orders: tuple[str, ...]) -> list[Row]:
    """Dialogues in which each earlier image ("i") and question ("q") takes its part of the score."""
    rows: list[Row] = []
    for number in range(40):
        images: dict[int, float] = {}
        asked: dict[int, float] = {}
        order = orders[number % len(orders)]
        for turn, kind in enumerate(order, 1):
            before = order[: turn - 1]
            loss = per_image * before.count("i") + per_other * before.count("q")
            (images if kind == "i" else asked)[turn] = 0.9 + number / 1000 - loss
        rows += rows_of("direct", {f"s{number}": images})
        rows += rows_of("direct", {f"s{number}": dict.fromkeys(asked, 1.0)}, modality="mcq")
    return rows


def test_images_and_other_turns_are_told_apart_where_dialogues_mix_them(tmp_path: Path) -> None:
    rows = mixed(0.05, 0.02, ("iiqi", "iqqi", "iqiii", "iiii"))
    (found,) = ablation(load_csv(write_csv(tmp_path / "runs.csv", rows)), resamples=200).wear
    assert found.per_image.value == pytest.approx(-0.05)
    assert found.per_other.value == pytest.approx(-0.02)
    assert found.difference.value == pytest.approx(-0.03)
    assert 0 < found.correlation < 0.95


@pytest.mark.parametrize(
    ("orders", "reason"), [(("iiii",), "do not mix"), (("iqiqi", "iqi"), "grow together (correlation 1.00)")]
)
def test_a_design_that_cannot_tell_says_so(tmp_path: Path, orders: tuple[str, ...], reason: str) -> None:
    result = ablation(load_csv(write_csv(tmp_path / "runs.csv", mixed(0.05, 0.02, orders))), resamples=200)
    (found,) = result.wear
    assert reason in found.per_image.reason
    assert not found.difference.is_defined
    (table,) = [table for table in tables(result) if table.name == "T5c_wear"]
    assert table.rows[0][1:4] == ("n/a", "n/a", "n/a")
    assert any(reason in note for note in table.notes)


def test_the_gap_is_drawn_as_far_as_any_strategy_was_replayed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for strategy, last in {"direct": 3, "cot": 6}.items():
        own = {f"s{i}": {t: rng.uniform(0.3, 0.6) for t in range(1, 7)} for i in range(8)}
        gold = {name: {t: rng.uniform(0.6, 0.9) for t in range(2, last + 1)} for name in own}
        rows += rows_of(strategy, own) + rows_of(strategy, gold, "gold")
    figure = gap_over_turns(ablation(load_csv(write_csv(tmp_path / "runs.csv", rows)), resamples=200))
    assert figure is not None
    assert figure.axes[0].get_xticks().tolist() == [2, 3, 4, 5, 6]
    assert figure.axes[0].get_xlim()[1] > 6


def test_a_written_study_has_all_parts(tmp_path: Path) -> None:
    study = load_study(
        StudyWriter(folder=tmp_path, strategies=["direct", "cot"], samples_per_class=8).write()
    )
    result = ablation(study, resamples=200)
    assert {c.kind for c in result.coupling} == {"text", "static", "dynamic"}
    assert [w.strategy for w in result.wear] == ["direct", "cot"]
    assert all(arm.estimates["eb_step"].is_defined for arm in result.arms)
