"""Costs, gains per cost and the front belong to the cells that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.ablation import Ablation, ablation
from analysis.figures.scaling import gain_against_cost
from analysis.layout import Table
from analysis.long_csv import load_csv
from analysis.tables import tables
from tests.analysis.tables_of_turns import Row, rows_of, write_csv


def analyse(folder: Path, rows: list[Row]) -> Ablation:
    return ablation(load_csv(write_csv(folder / "runs.csv", rows)), resamples=400)


def arm_rows(strategy: str, level: float, nfe: float, only: range = range(60), **more: Any) -> list[Row]:
    """Dialogues 0 to 19 are easy. `level` is that of a hard one."""
    noise = np.random.default_rng(len(strategy)).uniform(-0.05, 0.05, 60)
    scores = {f"s{i}": {1: level + 0.3 * (i < 20) + noise[i]} for i in only}
    return rows_of(strategy, scores, nfe=nfe, seconds=nfe / 10, **more)


def table_of(result: Ablation, name: str) -> dict[str, tuple[str, ...]]:
    found: list[Table] = [table for table in tables(result) if table.name == name]
    return {row[0]: row for table in found for row in table.rows}


def test_turns_that_failed_at_no_cost_make_nothing_cheaper(tmp_path: Path) -> None:
    rows = arm_rows("direct", 0.5, 50) + arm_rows("cot", 0.6, 50)
    for row in rows[:6]:
        row |= {"score": "", "outcome": "model_error", "nfe": 0, "seconds": 0}
    result = analyse(tmp_path, rows)
    direct, cot = result.arms
    assert direct.cost["nfe"] == cot.cost["nfe"] == 50
    assert cot.efficiency is not None
    assert not cot.efficiency.per_nfe.is_defined
    assert result.pareto_front == ("cot",)
    assert table_of(result, "T8b_efficiency") == {}


def test_a_gain_per_cost_is_of_the_cells_that_both_have(tmp_path: Path) -> None:
    rows = arm_rows("direct", 0.5, 50) + arm_rows("cot", 0.5, 100, range(40))
    for row in rows:
        if row["strategy"] == "cot":
            row["score"] = rows[int(row["sample_id"][1:])]["score"] + 0.1
            row["nfe"] = 90 if int(row["sample_id"][1:]) < 20 else 110
    found = analyse(tmp_path, rows).arms[1].efficiency
    assert found is not None
    assert found.per_nfe.value == pytest.approx(0.1 / 50)
    assert found.per_nfe.num_samples == 40
    assert found.per_nfe.low < found.per_nfe.value < found.per_nfe.high


def test_costs_that_hardly_differ_give_no_gain_per_cost(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = arm_rows("direct", 0.5, 50) + arm_rows("cot", 0.6, 50)
    for row in rows:
        row["seconds"] = 5 + rng.normal(0, 1)
    found = analyse(tmp_path, rows).arms[1].efficiency
    assert found is not None
    assert not found.per_second.is_defined
    assert "is not clearly above 0" in found.per_second.reason


def test_a_strategy_run_on_easy_dialogues_alone_is_not_on_the_front_of_the_others(tmp_path: Path) -> None:
    rows = arm_rows("direct", 0.5, 50) + arm_rows("cot", 0.6, 100)
    rows += arm_rows("best_of_4", 0.43, 200, range(20))
    result = analyse(tmp_path, rows)
    means = {arm.strategy: arm.estimates["mean"].value for arm in result.arms}
    assert means["best_of_4"] > means["direct"]
    assert result.pareto_front == ("direct", "cot")
    assert {name: row[-1] for name, row in table_of(result, "T8_compute").items()} == {
        "direct": "yes",
        "cot": "yes",
        "best_of_4": "n/a",
    }


def test_the_front_is_of_paired_scores(tmp_path: Path) -> None:
    """The dearer arm lost hard dialogues: its mean is higher, and it is worse on each that it has."""
    rows = arm_rows("direct", 0.5, 50)
    rows += [row | {"strategy": "cot", "score": row["score"] - 0.001, "nfe": 100} for row in rows[:56]]
    result = analyse(tmp_path, rows)
    assert result.arms[1].estimates["mean"].value > result.arms[0].estimates["mean"].value
    assert result.pareto_front == ("direct",)


def test_of_many_strategies_the_figure_names_the_baseline_and_the_front(tmp_path: Path) -> None:
    few = [("direct", 0.5, 10), ("better", 0.6, 20), ("worse", 0.4, 30)]
    many = [*few, *((f"worst{n}", 0.3, 40 + n) for n in range(10))]
    assert names_in_figure(tmp_path / "few", few) == {"direct", "better", "worse"}
    assert names_in_figure(tmp_path / "many", many) == {"direct", "better"}


def names_in_figure(folder: Path, arms: Sequence[tuple[str, float, float]]) -> set[str]:
    folder.mkdir()
    rows = [row for arm in arms for row in arm_rows(*arm)]
    figure = gain_against_cost(ablation(load_csv(write_csv(folder / "runs.csv", rows)), resamples=200))
    assert figure is not None
    return {text.get_text() for text in figure.axes[0].texts}
