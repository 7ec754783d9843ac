"""What layers add: adjusted for their number, and against the strategy without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.ablation import Ablation, ablation
from analysis.long_csv import load_csv
from analysis.nesting import nestings
from analysis.panel import Panel
from analysis.tables import tables
from tests.analysis.tables_of_turns import rows_of, write_csv

STRATEGIES = (
    "direct",
    "cot",
    "self_verify",
    "best_of_4",
    "self_verify+cot",
    "best_of_4+cot",
    "best_of_4+self_verify",
    "best_of_4+self_verify+cot",
)


def written(folder: Path, levels: dict[str, float], seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    rows = []
    for strategy, level in levels.items():
        rows += rows_of(strategy, {f"s{i}": {1: level + rng.uniform(-0.1, 0.1)} for i in range(40)})
    return write_csv(folder / "runs.csv", rows)


def analyse(folder: Path, levels: dict[str, float], baseline: str | None = None) -> Ablation:
    return ablation(load_csv(written(folder, levels)), resamples=100, baseline=baseline)


def test_equal_strategies_are_seldom_called_a_gain_or_a_loss(tmp_path: Path) -> None:
    """Of studies without any effect at most 1 in 10 says a word; unadjusted it is 1 in 3 and more."""
    raw, said = 0, 0
    for seed in range(60):
        panel = Panel.of(load_csv(written(tmp_path, dict.fromkeys(STRATEGIES, 0.5), seed)))
        found = nestings(panel, panel.inference("sample", 100, 0))
        raw += any(n.difference.p < 0.05 for n in found)
        said += any(n.finding != "none" for n in found)
    assert raw > 15
    assert said <= 6


def test_a_clear_gain_is_still_called_one(tmp_path: Path) -> None:
    found = analyse(tmp_path, {"direct": 0.4, "cot": 0.5, "best_of_4": 0.4, "best_of_4+cot": 0.6}).nestings
    assert {n.part: n.finding for n in found} == {"cot": "gain", "best_of_4": "gain"}
    assert all(n.difference.p_adjusted >= n.difference.p for n in found)


@pytest.mark.parametrize("baseline", [None, "cot"])
def test_synergy_is_against_the_strategy_without_both_layers(tmp_path: Path, baseline: str | None) -> None:
    levels = {"direct": 0.3, "cot": 0.4, "best_of_4": 0.5, "best_of_4+cot": 0.6}
    (synergy,) = analyse(tmp_path, levels, baseline).synergies
    assert synergy.difference.value == pytest.approx(0, abs=4 * synergy.difference.standard_error)


def test_without_such_a_strategy_there_is_no_synergy_and_a_reason(tmp_path: Path) -> None:
    result = analyse(tmp_path, {"cot": 0.4, "best_of_4": 0.5, "best_of_4+cot": 0.6}, "cot")
    (synergy,) = result.synergies
    assert "without both layers" in synergy.difference.reason
    (table,) = [table for table in tables(result) if table.name == "T3b_synergy"]
    assert table.rows[0][2].startswith("n/a: the study has no arm without both layers")
