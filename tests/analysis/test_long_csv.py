"""A long CSV gives its known numbers, and bad input a message or a stated degradation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.ablation import Ablation, ablation
from analysis.layout import to_markdown
from analysis.long_csv import load_csv
from analysis.numbers import to_json
from analysis.records import StudyError
from analysis.tables import caption, tables
from analysis.terminal import to_terminal
from tests.analysis.tables_of_turns import Effect, Row, make_rows, write_csv

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[2]
TRUTHS = json.loads((DATA / "truth.json").read_text())["datasets"]
DIRECT_AND_COT = {"direct": Effect(), "cot": Effect(decay=0.03)}


def analyse(path: Path, **options: Any) -> Ablation:
    return ablation(load_csv(path), resamples=200, **options)


def everything_said(result: Ablation) -> str:
    return to_terminal(result) + "".join(to_markdown(table, caption(result)) for table in tables(result))


@pytest.mark.parametrize("name", ["tiny", "tiny_flat"])
def test_small_exact_data_sets_give_their_known_numbers(name: str) -> None:
    found = to_json(analyse(DATA / f"{name}.csv"))["strategies"]
    estimands = {key: value for key, value in TRUTHS[name]["estimands"].items() if key != "behaviour"}
    assert estimands
    for estimand, by_strategy in estimands.items():
        for strategy, expected in by_strategy.items():
            assert found[strategy][estimand]["est"] == pytest.approx(expected["truth"], abs=1e-9)


def test_slopes_of_gold_and_of_gaps_and_the_share_of_the_decay_take_turn_1_in() -> None:
    """Scores that bend, so that a slope from turn 2 on is another one."""
    found = to_json(analyse(DATA / "curved.csv"))["strategies"]
    truths = json.loads((DATA / "curved_truth.json").read_text())["estimands"]
    assert len(truths) == 5
    for estimand, by_strategy in truths.items():
        for strategy, expected in by_strategy.items():
            estimate = found[strategy][estimand]
            assert estimate["est"] == pytest.approx(expected["ref"], abs=2e-6)
            if "ref_se" in expected:
                assert estimate["se"] == pytest.approx(expected["ref_se"], rel=0.05)


def test_exact_data_earn_no_stars_from_0_over_0() -> None:
    result = analyse(DATA / "tiny.csv")
    found = to_json(result)["strategies"]["direct"]["within_slope"]
    assert (found["se"], found["p"], found["p_adjusted"]) == (0, None, None)
    said = everything_said(result)
    assert "nan" not in said
    assert "inf" not in said.replace("inference", "")
    assert any("too few clusters (8 < 30)" in warning for warning in result.warnings)
    assert any("class hybrid has one sample" in warning for warning in result.warnings)


def test_a_gap_of_0_is_never_divided_by_and_a_slope_is_not_called_exposure_bias() -> None:
    result = analyse(DATA / "tiny_flat.csv")
    found = to_json(result)["strategies"]
    assert found["verify"]["eb_reduction_ratio"]["est"] is None
    assert "| n/a |" in everything_said(result)
    assert all("raises" not in arm.finding.sentence for arm in result.arms)
    assert to_json(result)["claims"]["direct"] == []


def test_the_command_writes_the_numbers_of_a_csv(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "analysis",
        str(DATA / "tiny.csv"),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        [*command, "--resamples", "200"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    numbers = json.loads((tmp_path / "analysis.json").read_text())
    assert numbers["strategies"]["verify"]["eb_reduction_ratio"]["est"] == pytest.approx(0.5)
    names = {"est", "se", "ci", "p", "p_adjusted", "n_samples", "n_missing"}
    for estimates in numbers["strategies"].values():
        for estimate in estimates.values():
            assert names <= set(estimate)
    assert {"direct", "verify", "constant"} == set(numbers["sentences"])
    assert (tmp_path / "tables" / "T1_main.tex").exists()
    assert (tmp_path / "figures" / "reductions.pdf").exists()


def edit(change: Callable[[Row], None], *, only: int | None = None) -> list[Row]:
    rows = make_rows(DIRECT_AND_COT, num_samples=8)
    for number, row in enumerate(rows):
        if only is None or number == only:
            change(row)
    return rows


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (edit(lambda row: row.pop("history")), r"runs.csv: no column history; needed are strategy, seed"),
        (
            edit(lambda row: row.update(history="hers"), only=3),
            r"line 5: history is 'hers', not one of own, gold",
        ),
        (edit(lambda row: row.update(score=1.5), only=0), r"line 2: score 1.5 is outside 0 to 1; divide"),
        (edit(lambda row: row.update(score="high"), only=0), r"line 2: score is 'high', not a number"),
        (edit(lambda row: row.update(turn=0), only=0), r"line 2: turn is 0; turns count from 1"),
        (edit(lambda row: row.update(turn="1.5"), only=0), r"line 2: turn is '1.5', not a whole number"),
        (edit(lambda row: row.update(modality="sound"), only=0), r"modality is 'sound', not one of image"),
        (edit(lambda row: row.update(outcome="refused"), only=0), r"outcome 'refused' with score"),
        (edit(lambda row: row.update(history="swap"), only=0), r"'swap' without history_from"),
        (edit(lambda row: row.update(strategy="all"), only=0), r"strategy is 'all'"),
        (edit(lambda row: row.update(benchmark=str(row["seed"])), only=0), r"different benchmarks .*'', '0'"),
        ([], r"no rows|no column"),
        (
            2 * make_rows(DIRECT_AND_COT, num_samples=1),
            r"line \d+: turn 1 of .*/s0 .* is already in .*line 2",
        ),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[Row], complaint: str) -> None:
    with pytest.raises(StudyError, match=complaint):
        load_csv(write_csv(tmp_path / "runs.csv", rows))


def test_a_score_that_is_nan_counts_as_missing_and_is_told(tmp_path: Path) -> None:
    rows = make_rows(DIRECT_AND_COT, num_samples=40)
    rows[0]["score"], rows[1]["score"] = "NaN", ""
    result = analyse(write_csv(tmp_path / "runs.csv", rows))
    assert any("2 rows have no score (the first: line 2)" in warning for warning in result.warnings)
    assert sum(arm.num_planned - arm.num_scored for arm in result.arms) >= 1
    assert result.arms[0].estimates["mean"].num_missing >= 1


def test_without_gold_rows_the_word_is_decay(tmp_path: Path) -> None:
    rows = [row for row in make_rows(DIRECT_AND_COT) if row["history"] == "own"]
    result = analyse(write_csv(tmp_path / "runs.csv", rows))
    assert result.tier == "D"
    assert result.arms[0].finding.claims == ("decay",)
    assert "exposure bias" not in everything_said(result).lower()
    assert not result.arms[1].estimates["eb_reduction"].is_defined


def test_one_strategy_has_no_gains(tmp_path: Path) -> None:
    result = analyse(write_csv(tmp_path / "runs.csv", make_rows({"cot": Effect()})))
    (arm,) = result.arms
    assert arm.estimates["eb"].is_defined
    assert arm.estimates["mean_gain"].reason == "there is no baseline"
    assert any("one strategy only" in warning for warning in result.warnings)


def test_one_sample_has_means_and_nothing_that_needs_two(tmp_path: Path) -> None:
    rows = [row for row in make_rows(DIRECT_AND_COT, seed=3) if row["sample_id"] == "s1"]
    result = analyse(write_csv(tmp_path / "runs.csv", rows))
    for arm in result.arms:
        assert arm.estimates["mean"].is_defined
        assert arm.finding.claims == ()
        assert all(e.to_json()["se"] is None for e in arm.estimates.values())


def test_a_task_can_be_the_cluster(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "runs.csv", make_rows(DIRECT_AND_COT))
    by_sample, by_task = (
        analyse(path, cluster=cluster).arms[1].estimates["eb"] for cluster in ("sample", "task")
    )
    assert by_sample.value == by_task.value
    assert by_sample.standard_error != by_task.standard_error


def test_missing_samples_do_not_pass_for_a_gain(tmp_path: Path) -> None:
    """A strategy that was scored on the easy dialogues alone is compared on those."""
    same = {"direct": Effect(), "cot": Effect()}
    rows = make_rows(same, num_samples=300, length_effect=0.06, seed=5)
    rows = [row for row in rows if row["strategy"] == "direct" or row["n_turns"] > 3]
    found = analyse(write_csv(tmp_path / "runs.csv", rows)).arms[1].estimates
    unpaired = found["mean"].value - analyse(tmp_path / "runs.csv").arms[0].estimates["mean"].value
    assert found["mean_gain"].num_missing > 100
    assert abs(found["mean_gain"].value) < 3 * found["mean_gain"].standard_error < abs(unpaired)


def test_opposite_slopes_are_called_a_composition_confound(tmp_path: Path) -> None:
    rows = make_rows({"direct": Effect(level=0.5, decay=0.02)}, num_samples=300, length_effect=0.08)
    (arm,) = analyse(write_csv(tmp_path / "runs.csv", rows)).arms
    assert arm.estimates["pooled_slope"].value > 0 > arm.estimates["within_slope"].value
    assert "composition confound: pooled slope not interpreted" in arm.finding.sentence
