"""Studies of a shape that few have: the tables are right, or say what could not be measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.ablation import Ablation, ablation
from analysis.figures import draw_figures
from analysis.layout import to_latex, to_text
from analysis.records import load_study
from analysis.tables import tables
from tests.analysis.study_writer import turn_record, write_run

Json = dict[str, Any]


def write(
    folder: Path,
    strategy: str,
    modality: str = "image",
    score: float | None = 0.5,
    *,
    samples: range = range(40),
    run: str = "",
    **manifest: Any,
) -> None:
    """A run of dialogues of two turns."""
    about: Json = {"run": strategy, "strategy": strategy, "oracle": False, "history": "own", "seed": 0}
    about |= {"benchmark": "toy", "selection": {}, **manifest}
    planned: list[Json] = [
        {"class": "a", "domain": "d", "task": "t", "sample_id": str(i), "modalities": [modality] * 2}
        for i in samples
    ]
    outcome = "judge_error" if score is None else "scored"
    records = [
        turn_record(about, s, turn, modality, outcome=outcome, score=score)
        for s in planned
        for turn in (1, 2)
    ]
    write_run(folder / (run or strategy), about | {"planned": planned}, records)


def analysed(folder: Path) -> tuple[Ablation, str]:
    """The result, and all of its tables as text."""
    result = ablation(load_study(folder), resamples=100)
    return result, "\n".join(to_text(table) for table in tables(result))


@pytest.mark.parametrize(
    ("modality", "score", "said"),
    [
        ("text", 0.5, "the study has no image turns: nothing is said about image scores"),
        ("image", None, "no planned image turn of direct, cot has a score, so no image score can be shown"),
    ],
)
def test_without_image_scores_no_table_by_turn_is_printed_and_a_note_says_why(
    tmp_path: Path, modality: str, score: float | None, said: str
) -> None:
    write(tmp_path, "direct", modality, score)
    write(tmp_path, "cot", modality, score)
    result, printed = analysed(tmp_path)
    assert any(warning.startswith(said) for warning in result.warnings)
    assert "by turn" not in printed


def test_arms_on_different_dialogues_are_said_and_what_is_missing_is_counted_and_bounded_alike(
    tmp_path: Path,
) -> None:
    write(tmp_path, "direct", score=0.2)
    write(tmp_path, "cot", score=0.6, samples=range(20, 60))
    result, printed = analysed(tmp_path)
    assert any("not every arm was run on all 60 dialogues (direct 40, cot 40)" in w for w in result.warnings)
    cot = next(arm for arm in result.arms if arm.strategy == "cot")
    assert cot.estimates["mean_gain"].value == pytest.approx(0.4)
    assert cot.estimates["mean_gain"].num_samples == 20
    assert cot.estimates["mean"].num_missing == 40  # of the 120 turns of the study
    assert cot.mean_bounds == pytest.approx((2 / 3 * 0.6, 2 / 3 * 0.6 + 1 / 3))
    assert "33.3 %             40.0, 73.3" in printed


def test_an_arm_of_failures_alone_is_said(tmp_path: Path) -> None:
    write(tmp_path, "direct")
    write(tmp_path, "cot", score=None)
    result, _ = analysed(tmp_path)
    assert any(w.startswith("no planned image turn of cot has a score") for w in result.warnings)


def test_runs_of_different_versions_are_said(tmp_path: Path) -> None:
    write(tmp_path, "direct", versions={"imug_tts": "0.1", "torch": "2.1"})
    write(tmp_path, "cot", versions={"imug_tts": "0.2", "torch": "2.1"})
    result, _ = analysed(tmp_path)
    assert any("different versions of imug_tts (0.1, 0.2): " in warning for warning in result.warnings)


def test_versions_of_a_run_that_was_continued_are_said(tmp_path: Path) -> None:
    write(tmp_path, "direct", versions={"torch": "2.2"}, earlier_versions=[{"torch": "2.1"}])
    write(tmp_path, "cot", versions={"torch": "2.2"})
    result, _ = analysed(tmp_path)
    assert any("different versions of torch (2.1, 2.2): " in warning for warning in result.warnings)


def test_letters_that_figures_lack_are_said_once_and_tables_show_them(tmp_path: Path) -> None:
    write(tmp_path, "direct")
    write(tmp_path, "思维链[é=½]", run="cot")
    result, printed = analysed(tmp_path)
    with pytest.warns(UserWarning, match="DejaVu Sans, lacks 思维链: figures show boxes") as said:
        assert draw_figures(result, tmp_path)
    assert len(said) == 1
    assert "思维链[é=½]" in printed


def test_a_very_long_name_leaves_room_for_figures_and_numbers(tmp_path: Path) -> None:
    name = "best_of_4[" + ",".join(f"knob_{number}=value_{number}" for number in range(30)) + "]+cot"
    write(tmp_path, "direct")
    write(tmp_path, name, run="long")
    result, _ = analysed(tmp_path)
    assert draw_figures(result, tmp_path)  # a figure without room for its axes is a warning
    main = to_latex(tables(result)[0], "")
    assert r"\begin{tabular}{p{9cm}" in main
    assert r"knob\_28=value\_28, knob\_29=value\_29" in main
