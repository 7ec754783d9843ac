"""What a notebook shows of a study: its turns as a frame, its tables and figures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.frame import COLUMNS
from analysis.long_csv import load_csv
from analysis.records import load_study
from imug_tts import Analysis, Study
from imug_tts.contracts import Scope, Score
from imug_tts.dialogue import Part, Sample, Text
from imug_tts.records import read_turns
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two arms on both histories, with refused images."""
    folder = tmp_path_factory.mktemp("shown") / "study"
    made = Study(folder, backbone=ToyBackbone(refusal_rate=0.05), benchmark=ToyBenchmark(num_samples=6))
    for strategy in ("direct", "cot"):
        made.add(strategy)
        made.add(strategy, history="gold")
    made.run(tracking=())
    return made


@pytest.fixture(scope="module")
def shown(study: Study) -> Analysis:
    return study.analyze(resamples=200)


def test_the_frame_has_a_row_for_each_planned_turn_with_the_documented_columns(study: Study) -> None:
    frame = study.records()
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 4 * 6 * 4
    assert frame["score"].dropna().between(0, 1).all()
    refused = frame[frame["outcome"] == "refused"]
    assert len(refused) > 0
    assert refused["score"].isna().all()
    assert frame.groupby("strategy").size().to_dict() == {"direct": 48, "cot": 48}


class Choices(ToyBenchmark):
    """Its text turns are scored as multiple-choice questions."""

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        scored = await super().score(sample, outputs, scope)
        return replace(scored, detail={"dynamic": False}) if isinstance(outputs[-1], Text) else scored


def test_a_question_that_one_arm_did_not_reach_is_of_the_same_kind_in_all(tmp_path: Path) -> None:
    study = Study(tmp_path, backbone=ToyBackbone(refusal_rate=0.3), benchmark=Choices(num_samples=6))
    study.add("direct")
    study.add("direct", history="gold")  # goes on after a refusal
    study.run(tracking=())
    frame = study.records()
    text = frame[frame["modality"] != "image"]
    assert text["outcome"].isna().any()
    assert set(text["modality"]) == {"mcq"}


def test_its_scores_and_costs_are_those_of_the_records(study: Study) -> None:
    frame = study.records()
    for folder in study.folder.glob("*-*"):
        rows = frame[frame["run"] == folder.name].set_index(["sample_id", "turn"])
        for line in read_turns(str(folder)):
            record = line.record
            row = rows.loc[(record["sample_id"], record["turn"])]
            assert (None if pd.isna(row["score"]) else row["score"]) == record["score"]
            assert [row[key] for key in ("outcome", "nfe", "seed")] == [
                record[key] for key in ("outcome", "nfe", "seed")
            ]


def test_the_frame_as_a_csv_is_the_same_study_for_the_analysis(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "turns.csv"
    study.records().to_csv(path, index=False)
    stored, read = load_study(study.folder), load_csv(path)
    assert read.planned == stored.planned
    scores = [{r.key: r.score for r in each.records if r.score is not None} for each in (stored, read)]
    assert scores[0] == scores[1]
    steps = [{r.key: r.step_score for r in each.records if r.score is not None} for each in (stored, read)]
    assert steps[0] == steps[1]


def test_tables_show_themselves_as_html_and_print_as_text(shown: Analysis) -> None:
    table = shown.tables["T1_main"]
    html = table._repr_html_()
    assert html.count("<tr>") == 1 + len(shown.result.arms)
    assert all(f"<td>{cell}</td>" in html for row in table.rows for cell in row[1:] if cell.isascii())
    assert "95 % intervals" in html
    assert "gain over direct" in repr(table)
    assert table.to_latex().count(r"\begin{table}") == 1
    assert table.to_markdown().startswith("## Image score")


def test_the_analysis_shows_its_main_table_notes_and_findings(shown: Analysis) -> None:
    html = shown._repr_html_()
    assert shown.tables["T1_main"]._repr_html_() in html
    assert html.count("<li>") == len(shown.findings) == 2
    assert all(name in html for name in shown.tables)
    assert "T1_main" in repr(shown)


def test_figures_show_themselves_as_png_and_are_saved(shown: Analysis, tmp_path: Path) -> None:
    figure = shown.figures["scores_over_turns"]
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.save(tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(ValueError, match=r"a.svg: a figure is saved as .png or .pdf"):
        figure.save(tmp_path / "a.svg")


def test_a_wrong_name_is_answered_with_the_right_ones(shown: Analysis) -> None:
    with pytest.raises(KeyError, match="did you mean 'T1_main'"):
        shown.tables["T1_mian"]
    with pytest.raises(KeyError, match="there is no table 'x'; there are: T1_main"):
        shown.tables["x"]
    with pytest.raises(KeyError, match="there is no finding 'cott'; did you mean 'cot'"):
        shown.findings["cott"]
    assert str(shown.findings).startswith(f"direct: {shown.findings['direct']}\ncot: ")


def test_the_command_prints_the_same_of_the_same_folder(study: Study, shown: Analysis) -> None:
    command = [sys.executable, "-m", "analysis", str(study.folder), "--resamples", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith(str(shown)), done.stderr


def test_text_of_a_study_cannot_break_its_html() -> None:
    from analysis.layout import Table, to_html

    table = Table(name="T", title="a <b>", header=("x", "<i>"), rows=(("<s>", "&"),), notes=("<u>",))
    html = to_html(table)
    assert not any(tag in html for tag in ("<b>", "<i>", "<s>", "<u>"))
    assert "&amp;" in html
