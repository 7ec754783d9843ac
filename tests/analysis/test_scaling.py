"""What more candidates buy: between arms, and within the pools of one."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from analysis.ablation import Ablation, ablation
from analysis.compute import pareto_front
from analysis.long_csv import load_csv
from analysis.records import load_study
from tests.analysis.study_writer import StudyWriter
from tests.analysis.tables_of_turns import Effect, Row, make_rows, write_csv

LADDER = {f"bon{n}": Effect(level=0.5 + 0.03 * np.log2(n), decay=0.02) for n in (1, 2, 4, 8, 16)}


def analyse(path: Path, rows: list[Row]) -> Ablation:
    return ablation(load_csv(write_csv(path / "runs.csv", rows)), resamples=200)


def test_the_gain_per_doubling_is_the_slope_on_log2_n_of_the_names(tmp_path: Path) -> None:
    result = analyse(tmp_path, make_rows(LADDER, num_samples=150))
    (ladder,) = result.ladders
    assert dict(ladder.rungs) == {"bon1": 1, "bon2": 2, "bon4": 4, "bon8": 8, "bon16": 16}
    means = {arm.strategy: arm.estimates["mean"].value for arm in result.arms}
    slope = np.polyfit([0, 1, 2, 3, 4], [means[s] for s in ladder.rungs], 1)[0]
    gain = ladder.gain_per_doubling
    assert gain.value == pytest.approx(slope)
    assert gain.value == pytest.approx(0.03, abs=4 * gain.standard_error)


def test_a_stated_number_of_candidates_counts_before_the_name(tmp_path: Path) -> None:
    rows = make_rows({"direct": Effect(), "few7": Effect(level=0.8), "many": Effect(level=0.85)})
    sizes = {"direct": 1, "few7": 4, "many": 16}
    (ladder,) = analyse(tmp_path, [row | {"num_candidates": sizes[row["strategy"]]} for row in rows]).ladders
    assert dict(ladder.rungs) == sizes


def test_a_number_in_a_name_counts_candidates_only_where_that_is_known_or_asked_for(tmp_path: Path) -> None:
    rows = make_rows({"prompt_v1": Effect(), "prompt_v2": Effect(level=0.8)})
    path = write_csv(tmp_path / "runs.csv", rows)
    assert ablation(load_csv(path), resamples=200).ladders == ()
    (ladder,) = ablation(load_csv(path), resamples=200, ladder=["prompt_v"]).ladders
    assert dict(ladder.rungs) == {"prompt_v1": 1, "prompt_v2": 2}


def test_one_number_of_candidates_makes_no_ladder(tmp_path: Path) -> None:
    rows = make_rows({"direct": Effect(), "bon8": Effect()})
    assert analyse(tmp_path, rows).ladders == ()
    stated = [row | {"num_candidates": 1} for row in rows]
    assert analyse(tmp_path, stated).ladders == ()


def test_a_curve_is_the_mean_over_all_subsets_of_the_pools(tmp_path: Path) -> None:
    strategies = ["best_of_4", "oracle_best_of_4"]
    study = load_study(StudyWriter(folder=tmp_path, strategies=strategies, samples_per_class=6).write())
    result = ablation(study, resamples=200)
    assert {c.where for c in result.curves} == {"turn 1", "gold history"}
    curve = next(c for c in result.curves if (c.strategy, c.where) == ("best_of_4", "turn 1"))
    pools = [
        pool
        for record in study.records
        if (record.key.strategy, record.key.history, record.key.turn) == ("best_of_4", "own", 1)
        for pool in record.pools
    ]
    assert len(pools) == curve.num_pools > 10
    for rung in curve.rungs:
        subsets = list(combinations(range(4), rung.num_candidates))
        picked, best = [], []
        for pool in pools:
            marks = [-1.0 if v is None else v for v in pool.verdicts]
            picked += [pool.grades[max(s, key=lambda i: (marks[i], -i))] for s in subsets]
            best += [max(pool.grades[i] for i in s) for s in subsets]
        assert rung.arm.value == pytest.approx(np.mean(picked))
        assert rung.best.value == pytest.approx(np.mean(best))
    assert curve.rungs[-1].arm.value == pytest.approx(np.mean([p.grades[p.chosen] for p in pools]))


def test_later_turns_of_own_history_give_no_curve(tmp_path: Path) -> None:
    writer = StudyWriter(folder=tmp_path, strategies=["best_of_4"], histories=["own"], samples_per_class=6)
    study = load_study(writer.write())
    firsts = sum(len(r.pools) for r in study.records if r.key.turn == 1)
    assert firsts < sum(len(r.pools) for r in study.records)
    assert [(c.where, c.num_pools) for c in ablation(study, resamples=200).curves] == [("turn 1", firsts)]


def test_the_pareto_front_holds_what_none_beats() -> None:
    points = {"a": (1.0, 0.5), "b": (2.0, 0.4), "c": (2.0, 0.7), "d": (4.0, 0.7), "e": (8.0, 0.9)}
    assert pareto_front(points | {"unknown": (float("nan"), 0.99)}) == ("a", "c", "e")
