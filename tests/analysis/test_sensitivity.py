"""Checks by other models: equal strategies have equal rows, and what has no answer says why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.ablation import Ablation, ablation
from analysis.long_csv import load_csv
from analysis.tables import tables
from tests.analysis.tables_of_turns import Effect, Row, make_rows, rows_of, write_csv

ROOT = Path(__file__).parents[2]


def analyse(folder: Path, rows: list[Row]) -> Ablation:
    return ablation(load_csv(write_csv(folder / "runs.csv", rows)), resamples=100)


def twins(rows: list[Row]) -> list[Row]:
    """Every row of cot once more as the strategy self_verify."""
    return rows + [row | {"strategy": "self_verify"} for row in rows if row["strategy"] == "cot"]


def rows_by_strategy(result: Ablation) -> dict[str, list[tuple[str, ...]]]:
    (table,) = [table for table in tables(result) if table.name == "T4_robustness"]
    found: dict[str, list[tuple[str, ...]]] = {}
    for strategy, *cells in table.rows:
        found.setdefault(strategy, []).append(tuple(cells))
    return found


@pytest.mark.parametrize("level", [0.75, 1.6])
def test_equal_strategies_have_equal_rows(tmp_path: Path, level: float) -> None:
    effects = {"direct": Effect(), "cot": Effect(level=level, decay=0.0, gold_decay=0.0)}
    found = rows_by_strategy(analyse(tmp_path, twins(make_rows(effects))))
    assert found["cot"] == found["self_verify"]
    assert len(found["cot"]) == 6


def test_strategies_without_any_difference_have_rows_with_reasons(tmp_path: Path) -> None:
    rows = make_rows({"direct": Effect()})
    found = rows_by_strategy(analyse(tmp_path, rows + [row | {"strategy": "cot"} for row in rows]))
    assert ("GEE, exchangeable, bias-reduced covariance", "-", "n/a: all values are equal") in found["cot"]
    assert found["cot"][0][1:] == ("+0.00 [0.00, 0.00]",) * 2


def test_a_design_of_one_turn_is_said_to_tell_nothing(tmp_path: Path) -> None:
    scores = {f"s{i}": {1: 0.5 + i / 100, 2: 0.4 + i / 90} for i in range(30)}
    gold = {name: {2: 0.9 - i / 80} for i, name in enumerate(scores)}
    rows = [row for s in ("direct", "cot") for row in rows_of(s, scores) + rows_of(s, gold, "gold")]
    for row in rows:
        row["score"] -= 0.1 * (row["strategy"] == "cot") * (row["turn"] == 2)
    found = {cells[0]: cells for cells in rows_by_strategy(analyse(tmp_path, rows))["cot"]}
    assert "the design has rank" in found["fractional logit, Mundlak terms x strategy"][2]


def test_few_samples_are_too_few_for_regressions(tmp_path: Path) -> None:
    rows = make_rows({"direct": Effect(), "cot": Effect()}, num_samples=10)
    result = analyse(tmp_path, rows)
    cells = [cell for row in rows_by_strategy(result)["cot"] for cell in row]
    assert any("samples; the model needs 20" in cell for cell in cells)
    (table,) = [table for table in tables(result) if table.name == "T4_robustness"]
    assert "n/a: 10 samples" in table.notes[-1]


def test_what_was_imported_before_changes_nothing(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "runs.csv", make_rows({"direct": Effect(), "cot": Effect(level=1.6)}))
    said = []
    for before in ("", "import statsmodels.api"):
        code = (
            f"{before}\nfrom pathlib import Path\nfrom analysis.panel import Panel\n"
            "from analysis.long_csv import load_csv\nfrom analysis.sensitivity import checks\n"
            f"for c in checks(Panel.of(load_csv(Path({str(path)!r}))), 'direct'):\n"
            "    print(c.strategy, c.estimand, c.model, c.estimate.value, c.estimate.reason)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1]
