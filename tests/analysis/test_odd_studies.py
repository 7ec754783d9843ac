"""Studies of a shape that few have: the tables are right, or say what could not be measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.ablation import Ablation, ablation
from analysis.layout import to_text
from analysis.records import load_study
from analysis.tables import tables
from tests.analysis.study_writer import turn_record, write_run

Json = dict[str, Any]


def write(folder: Path, strategy: str, modality: str, score: float | None = 0.5) -> None:
    """A run of 40 dialogues of two turns."""
    about: Json = {"run": strategy, "strategy": strategy, "oracle": False, "history": "own", "seed": 0}
    about |= {"benchmark": "toy", "selection": {}}
    planned: list[Json] = [
        {"class": "a", "domain": "d", "task": "t", "sample_id": str(i), "modalities": [modality] * 2}
        for i in range(40)
    ]
    outcome = "judge_error" if score is None else "scored"
    records = [
        turn_record(about, s, turn, modality, outcome=outcome, score=score)
        for s in planned
        for turn in (1, 2)
    ]
    write_run(folder / strategy, about | {"planned": planned}, records)


def analysed(folder: Path) -> tuple[Ablation, str]:
    """The result, and all of its tables as text."""
    result = ablation(load_study(folder), resamples=100)
    return result, "\n".join(to_text(table) for table in tables(result))


@pytest.mark.parametrize(
    ("modality", "score", "said"),
    [
        ("text", 0.5, "the study has no image turns: nothing is said about image scores"),
        ("image", None, "none of the 160 planned image turns has a score: no image score can be shown"),
    ],
)
def test_without_image_scores_no_table_by_turn_is_printed_and_a_note_says_why(
    tmp_path: Path, modality: str, score: float | None, said: str
) -> None:
    write(tmp_path, "direct", modality, score)
    write(tmp_path, "cot", modality, score)
    result, printed = analysed(tmp_path)
    assert said in result.warnings
    assert "by turn" not in printed
