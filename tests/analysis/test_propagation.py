"""Propagation of errors: the scorer's noise pulls the slope to 0, and a second pass undoes that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.ablation import ablation
from analysis.long_csv import load_csv
from analysis.panel import Panel
from analysis.propagation import Propagation, propagation
from analysis.tables import tables
from tests.analysis.tables_of_turns import Row, rows_of, write_csv

TRUTH = 0.6
NOISE = 0.15


def dialogues(*, second: bool) -> list[Row]:
    """An image loses `TRUTH` times the error of the one before; a text turn stands between."""
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for number in range(800):
        first = 0.3 + 0.4 * rng.random()
        gold = 0.7 + 0.05 * rng.normal()
        own = gold - TRUTH * (1 - first)
        scores = [(1, "image", "own", first), (2, "text", "own", 1.0), (3, "image", "own", own)]
        for turn, modality, history, score in (*scores, (3, "image", "gold", gold)):
            passes = np.clip(score + NOISE * rng.uniform(-1, 1, 2), 0, 1)
            row = {"strategy": "direct", "seed": 0, "class": "a", "domain": "d", "task": "t"}
            row |= {"sample_id": number, "turn": turn, "modality": modality, "history": history}
            row |= {"score": passes[0]} | ({"second_score": passes[1]} if second else {})
            rows.append(row)
    return rows


def slope_of(path: Path, *, second: bool) -> Propagation:
    panel = Panel.of(load_csv(write_csv(path / "runs.csv", dialogues(second=second))))
    (found,) = propagation(panel, panel.inference("sample", 100, 0))
    return found


def test_a_second_pass_as_instrument_recovers_the_slope(tmp_path: Path) -> None:
    found = slope_of(tmp_path, second=True)
    assert found.is_instrumented
    assert found.slope.low < TRUTH < found.slope.high
    assert found.slope.standard_error < 0.06


def test_without_a_second_pass_the_slope_is_attenuated_and_called_so(tmp_path: Path) -> None:
    found = slope_of(tmp_path, second=False)
    assert not found.is_instrumented
    # var(first) / (var(first) + var(noise)), both uniform
    attenuation = 0.4**2 / (0.4**2 + (2 * NOISE) ** 2)
    assert found.slope.value == pytest.approx(attenuation * TRUTH, abs=0.06)
    assert found.slope.high < TRUTH


def long_dialogues(handed_on: float, *, lose: float, seed: int = 0) -> list[Row]:
    """Up to seven images; each dialogue loses up to `lose` at every turn of its own history."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for number in range(200):
        level, loss = rng.uniform(0.8, 0.9), lose * rng.uniform()
        own, gold = {1: level + rng.normal(0, 0.04)}, {}
        for turn in range(2, int(rng.integers(3, 8))):
            hard = level - 0.02 * turn
            gold[turn] = hard + rng.normal(0, 0.02)
            own[turn] = hard - loss - handed_on * (1 - own[turn - 1]) + rng.normal(0, 0.05)
        for history, scores in (("own", own), ("gold", gold)):
            rows += rows_of("direct", {f"s{number}": scores}, history)
    return [row | {"score": min(1.0, max(0.0, row["score"]))} for row in rows]


def estimated(path: Path, rows: list[Row]) -> Propagation:
    panel = Panel.of(load_csv(write_csv(path / "runs.csv", rows)))
    (found,) = propagation(panel, panel.inference("sample", 100, 0))
    return found


def test_dialogues_that_always_lose_hand_nothing_on(tmp_path: Path) -> None:
    found = [estimated(tmp_path, long_dialogues(0.0, lose=0.4, seed=seed)).slope for seed in range(20)]
    assert abs(np.mean([e.value for e in found])) < 0.05
    assert sum(e.low <= 0 <= e.high for e in found) >= 17


def test_errors_that_are_handed_on_are_found(tmp_path: Path) -> None:
    found = [estimated(tmp_path, long_dialogues(0.5, lose=0.0, seed=seed)).slope for seed in range(20)]
    assert np.mean([e.value for e in found]) == pytest.approx(0.5, abs=0.05)
    assert sum(e.low <= 0.5 <= e.high for e in found) >= 17


def test_an_unscored_image_is_not_skipped_over(tmp_path: Path) -> None:
    rows: list[Row] = []
    rng = np.random.default_rng(0)
    for number in range(30):
        second = None if number < 10 else rng.uniform(0.5, 1)
        own = {1: rng.uniform(0.5, 1), 2: second, 3: rng.uniform(0.3, 1)}
        rows += rows_of("direct", {f"s{number}": own})
        rows += rows_of("direct", {f"s{number}": {2: 0.9, 3: 0.9}}, "gold")
    found = estimated(tmp_path, rows).slope
    # turn 2 follows turn 1, which has a score; turn 3 follows the first turn that can hold a lasting loss
    assert (found.num_units, found.num_missing, found.num_planned) == (20, 10, 30)


def test_the_table_calls_it_an_association_and_says_what_confounds_it(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "runs.csv", long_dialogues(0.5, lose=0.0))
    (table,) = [t for t in tables(ablation(load_csv(path), resamples=100)) if t.name == "T5_propagation"]
    note = " ".join(table.notes)
    assert "Association" in note
    assert "Confounding" in note
    assert "lower bound" not in note
