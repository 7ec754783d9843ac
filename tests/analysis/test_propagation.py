"""Propagation of errors: the scorer's noise pulls the slope to 0, and a second pass undoes that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.long_csv import load_csv
from analysis.panel import Panel
from analysis.propagation import Propagation, propagation
from tests.analysis.tables_of_turns import Row, write_csv

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


def test_without_a_second_pass_the_slope_is_a_lower_bound_and_called_so(tmp_path: Path) -> None:
    found = slope_of(tmp_path, second=False)
    assert not found.is_instrumented
    # var(first) / (var(first) + var(noise)), both uniform
    attenuation = 0.4**2 / (0.4**2 + (2 * NOISE) ** 2)
    assert found.slope.value == pytest.approx(attenuation * TRUTH, abs=0.06)
    assert found.slope.high < TRUTH
