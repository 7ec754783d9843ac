"""Every number says what it rests on: its own cells, turns of all seeds, clusters, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.ablation import Ablation, ablation
from analysis.layout import Table
from analysis.long_csv import load_csv
from analysis.measured import Arm
from analysis.tables import tables
from tests.analysis.tables_of_turns import Effect, Row, Scores, make_rows, rows_of, write_csv


def analyse(folder: Path, rows: list[Row], **options: Any) -> Ablation:
    return ablation(load_csv(write_csv(folder / "runs.csv", rows)), resamples=200, **options)


def arm_of(result: Ablation, strategy: str) -> Arm:
    return next(arm for arm in result.arms if arm.strategy == strategy)


def table_of(result: Ablation, name: str) -> Table:
    return next(table for table in tables(result) if table.name == name)


def scores(num_samples: int, *by_turn: float | None) -> Scores:
    return {f"s{i}": dict(enumerate(by_turn, 1)) for i in range(num_samples)}


def test_a_gap_of_few_dialogues_says_how_few(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    own = {f"s{i}": {t: rng.uniform(0.3, 0.9) for t in (1, 2, 3)} for i in range(90)}
    gold = {f"s{i}": {t: rng.uniform(0.5, 0.9) for t in (2, 3)} for i in range(6)}
    result = analyse(tmp_path, rows_of("direct", own) + rows_of("direct", gold, "gold"))
    gap = arm_of(result, "direct").estimates["eb"]
    assert (gap.num_samples, gap.num_clusters, gap.num_missing, gap.num_planned) == (6, 6, 0, 12)
    assert any("too few clusters (below 30) for EB of direct (6)" in warning for warning in result.warnings)
    (row,) = table_of(result, "T1_main").rows
    assert dict(zip(table_of(result, "T1_main").header, row, strict=True))["n EB (missing)"] == "6 (0)"
    (cells,) = table_of(result, "T1c_cells").rows
    assert cells[1:] == ("90 / 270 (0)", "90 / 270 (0)", "6 / 18 (0)", "6 / 12 (0)")


def test_a_seed_that_failed_whole_is_missing(tmp_path: Path) -> None:
    rows = rows_of("direct", scores(60, 0.5, 0.4, 0.3)) + rows_of(
        "direct", scores(60, None, None, None), seed=1
    )
    result = analyse(tmp_path, rows)
    mean = arm_of(result, "direct").estimates["mean"]
    assert (mean.num_units, mean.num_missing, mean.num_planned) == (180, 180, 360)
    assert mean.share_missing == 0.5
    assert table_of(result, "T1_main").rows[0][1:3] == ("60", "180")


def test_a_turn_that_only_gold_history_has_is_missing_on_own_history(tmp_path: Path) -> None:
    own = rows_of("direct", {"x": {1: 0.8, 2: 0.6}, "y": {1: 0.8}})
    gold = rows_of("direct", {"x": {2: 0.8}, "y": {2: 0.7}}, "gold")
    found = arm_of(analyse(tmp_path, own + gold), "direct").estimates
    assert (found["mean"].num_missing, found["eb"].num_missing) == (1, 1)


def test_seconds_are_of_a_dialogue_with_one_seed(tmp_path: Path) -> None:
    rows = [row for seed in (0, 1, 2) for row in rows_of("direct", scores(4, 0.5, 0.5), seed=seed, seconds=3)]
    (row,) = table_of(analyse(tmp_path, rows), "T1_main").rows
    assert row[-1] == "6.00"


def test_strategies_that_share_no_dialogue_are_told(tmp_path: Path) -> None:
    padded = {f"{i:03d}": {1: 0.5 + i / 100} for i in range(40)}
    plain = {str(i): {1: 0.6 + i / 100} for i in range(40)}
    (warning,) = [
        warning
        for warning in analyse(tmp_path, rows_of("direct", padded) + rows_of("cot", plain)).warnings
        if "share no dialogue" in warning
    ]
    assert "cot and direct share no dialogue" in warning
    assert "leading zeros" in warning
    alike = analyse(tmp_path, rows_of("direct", plain) + rows_of("cot", plain))
    assert not any("share no dialogue" in warning for warning in alike.warnings)


def test_one_dialogue_is_no_ground_for_a_ratio(tmp_path: Path) -> None:
    own, gold = {"x": {1: 0.9, 2: 0.5, 3: 0.3}}, {"x": {2: 0.8, 3: 0.8}}
    rows = [row for s in ("direct", "cot") for row in rows_of(s, own) + rows_of(s, gold, "gold")]
    found = arm_of(analyse(tmp_path, rows), "cot").estimates
    assert not found["eb_reduction_ratio"].is_defined
    assert not found["attributable_fraction"].is_defined


def test_what_is_missing_where_it_would_have_been_worst_is_bounded(tmp_path: Path) -> None:
    """The dialogue y ends on own history after its first image; gold history has its turns."""
    own: Scores = {"x": {1: 1.0, 2: 0.8, 3: 0.6}, "y": {1: 0.2, 2: None, 3: None}}
    gold = {"x": {2: 0.9, 3: 0.9}, "y": {2: 0.9, 3: 0.9}}
    other = {"x": {1: 1.0, 2: 0.8, 3: 0.8}, "y": {1: 0.9, 2: 0.8, 3: 0.8}}
    rows = rows_of("direct", own) + rows_of("direct", gold, "gold")
    rows += rows_of("cot", other) + rows_of("cot", gold, "gold")
    result = analyse(tmp_path, rows)
    direct, cot = arm_of(result, "direct"), arm_of(result, "cot")
    assert direct.estimates["eb"].value == pytest.approx((0.1 + 0.3) / 2)
    assert direct.eb_bounds == pytest.approx(((0.1 + 0.3 - 0.1 - 0.1) / 4, (0.1 + 0.3 + 0.9 + 0.9) / 4))
    assert cot.eb_bounds == pytest.approx((0.1, 0.1))
    assert cot.eb_reduction_bounds == pytest.approx((0.05 - 0.1, 0.55 - 0.1))
    assert direct.estimates["eb"].share_missing == 0.5
    assert table_of(result, "T1d_worst_cases").rows[0][3:5] == ("50.0 %", "5.0, 55.0")


def test_without_missing_turns_there_is_no_table_of_worst_cases(tmp_path: Path) -> None:
    result = analyse(tmp_path, make_rows({"direct": Effect(), "cot": Effect()}))
    assert not any(table.name == "T1d_worst_cases" for table in tables(result))
    for arm in result.arms:
        assert arm.eb_bounds == pytest.approx((arm.estimates["eb"].value,) * 2)


def test_free_text_is_not_called_a_choice(tmp_path: Path) -> None:
    rows = rows_of("direct", scores(3, 0.5)) + rows_of("direct", {"s0": {2: 1.0}}, modality="text")
    rows += rows_of("direct", {"s1": {2: 0.0}, "s2": {2: 1.0}}, modality="mcq")
    rows += rows_of("direct", {"s1": {3: 1.0}}, modality="mcq", dynamic=1)
    arm = arm_of(analyse(tmp_path, rows), "direct")
    assert (arm.free.value, arm.static.value, arm.dynamic.value) == (1.0, 0.5, 1.0)
    assert table_of(analyse(tmp_path, rows), "T1b_text").header[-1] == "free text"


def test_robustness_is_of_the_cluster_of_the_analysis(tmp_path: Path) -> None:
    rows = make_rows({"direct": Effect(), "cot": Effect(decay=0.03)}, num_samples=120)
    result = analyse(tmp_path, rows, cluster="task")
    found = {c.model: c.estimate for c in result.checks if c.estimand == "eb_reduction"}
    primary = arm_of(result, "cot").estimates["eb_reduction"]
    assert found["primary"].standard_error == pytest.approx(primary.standard_error)
    by_sample = arm_of(analyse(tmp_path, rows), "cot").estimates["eb_reduction"]
    assert found["single"].standard_error == pytest.approx(by_sample.standard_error)
    assert "Cluster: task." in table_of(result, "T4_robustness").notes[0]


def test_without_gold_runs_no_gap_is_bounded(tmp_path: Path) -> None:
    rows = make_rows({"direct": Effect(), "cot": Effect()})
    rows = [row for row in rows if (row["strategy"], row["history"]) != ("cot", "gold")]
    result = analyse(tmp_path, rows)
    assert arm_of(result, "cot").estimates["eb"].num_missing > 0
    assert not any(table.name == "T1d_worst_cases" for table in tables(result))
