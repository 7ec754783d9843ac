"""Trained weights as arms: named by their folder, averaged over training seeds, priced in dialogues."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from analysis.ablation import ablation
from analysis.fields import ANALYSIS_FIELDS, ESTIMATE, ESTIMATE_FIELDS
from analysis.numbers import to_json
from analysis.records import StudyError, load_study
from analysis.remedies import Remedy
from analysis.remedy_tables import remedy_tables
from analysis.tables import tables
from imug_tts.records.fields import undeclared
from tests.analysis.study_writer import turn_record, write_run

FIRST = "0123456789abcdef"
TURNS = 2
Json = dict[str, Any]


def cost(method: str, **fields: Any) -> Json:
    known = {"method": method, "start": FIRST, "seeds": [1], "steps": 150, "token_positions": 4000}
    return {**known, "seconds": 60.0, "play_seconds": 5.0, "processes": 1, **fields}


def write(
    folder: Path,
    shift: float,
    *,
    strategy: str = "direct",
    weights: str = FIRST,
    trained: Json | None = None,
    tokens: int = 16,
    seconds: float = 0.5,
    lost: float = 0.2,
) -> None:
    """Runs on own and gold history: 40 dialogues of two images, own `lost` below gold at turn 2."""
    model = f"pocket:1:{weights}"
    for history in ("own", "gold"):
        about: Json = {"run": f"{folder.name}-{history}", "strategy": strategy, "oracle": False, "seed": 0}
        about |= {"history": history, "benchmark": "toy", "selection": {}, "backbone": model}
        about["training"] = {} if trained is None else {model: trained}
        backbone = {"name": "pocket"} | ({} if trained is None else {"folder": f"/a/{folder.name}/model"})
        about["arm_identity"] = {"strategy": {"name": strategy}, "backbone": backbone}
        planned: list[Json] = [
            {"class": "a", "domain": "d", "task": "t", "sample_id": str(i), "modalities": ["image"] * TURNS}
            for i in range(40)
        ]
        spent = {"calls": 1, "prompt_tokens": 1, "new_tokens": tokens, "seconds": seconds}
        records = [
            turn_record(
                about,
                sample,
                turn,
                "image",
                score=score_of(sample, turn) + shift - (lost if history == "own" and turn == 2 else 0),
                score_detail={"step_score": 1 - (lost / 4 if history == "own" and turn == 2 else 0)},
                cost={"generator": spent, "judge": spent | dict.fromkeys(spent, 0)},
            )
            for sample in planned
            for turn in range(1, TURNS + 1)
            if history == "own" or turn > 1
        ]
        write_run(folder / history, about | {"planned": planned}, records)


def score_of(sample: Json, turn: int) -> float:
    return 0.5 + 0.2 * random.Random(f"{sample['sample_id']}{turn}").random()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write(tmp_path / "shipped", 0.0)
    write(tmp_path / "shipped_cot", 0.06, strategy="cot", tokens=40, seconds=0.9)
    write(tmp_path / "gold1", 0.01, weights="1" * 16, trained=cost("gold"))
    write(tmp_path / "step1", 0.04, weights="2" * 16, trained=cost("step", seconds=80), lost=0.12)
    write(tmp_path / "step2", 0.06, weights="3" * 16, trained=cost("step", seeds=[2], seconds=120), lost=0.12)
    return tmp_path


def found(study: Path) -> dict[str, Remedy]:
    result = ablation(load_study(study), resamples=100)
    return {remedy.method: remedy for remedy in result.remedies}


def test_arms_of_several_weights_are_named_by_what_their_folders_do_not_share(study: Path) -> None:
    result = ablation(load_study(study), resamples=100)
    names = [arm.strategy for arm in result.arms]
    direct = [f"direct @ backbone.folder={name}" for name in ("default", "gold1", "step1", "step2")]
    assert names == [*direct, "cot @ backbone.folder=default"]
    assert result.baseline == direct[0]
    assert result.backbone == "pocket:1 with 4 sets of weights"


def test_models_of_one_training_are_averaged_and_compared_with_what_they_began_with(study: Path) -> None:
    step = found(study)["step"]
    assert len(step.arms) == 2
    assert step.gains == pytest.approx((0.04 + 0.04, 0.06 + 0.04))  # less is lost at one of two turns
    assert step.gain.value == pytest.approx(0.09)
    assert step.first_turn.value == pytest.approx(0.05)
    assert step.against_control.value == pytest.approx(0.08)
    assert step.first_turn_against_control.value == pytest.approx(0.04)
    assert step.eb_reduction_against_control.value == pytest.approx(0.08)
    assert step.eb_step_reduction_against_control.value == pytest.approx(0.02)
    assert (step.eb.value, step.eb_step.value) == pytest.approx((0.12, 0.03))
    assert (step.eb_reduction.value, step.eb_step_reduction.value) == pytest.approx((0.08, 0.02))
    assert (step.seconds, step.token_positions) == (100, 4000)


def test_the_control_is_not_compared_with_itself(study: Path) -> None:
    gold = found(study)["gold"]
    assert gold.gain.value == pytest.approx(0.01)
    assert gold.control == ()
    assert not gold.against_control.is_defined
    assert gold.break_even is None


def test_training_pays_off_after_its_seconds_over_those_that_a_dialogue_saves(study: Path) -> None:
    paid = found(study)["step"].break_even
    assert paid is not None
    assert paid.strategy == "cot @ backbone.folder=default"
    assert paid.saved.value == pytest.approx(2 * (0.9 - 0.5))
    assert paid.saved_tokens.value == pytest.approx(2 * (40 - 16))
    assert paid.dialogues == pytest.approx((125, 125, 125))
    assert paid.difference.value == pytest.approx(0.09 - 0.06)


def test_the_tables_show_the_remedies(study: Path) -> None:
    scores, costs, controlled = remedy_tables(ablation(load_study(study), resamples=100))
    assert [row[:3] for row in scores.rows] == [
        ("gold, 150 steps", "1", "direct"),
        ("step, 150 steps", "2", "direct"),
    ]
    assert [row[-1] for row in costs.rows] == ["125 [125, 125]"]
    assert [row[:3] for row in controlled.rows] == [("step, 150 steps", "direct", "2 and 1")]
    assert [cell.split()[0] for cell in controlled.rows[0][3:]] == ["+8.0", "+4.0", "+8.0", "+2.0"]


def test_training_from_scratch_is_compared_with_a_control_from_scratch_of_as_many_steps(study: Path) -> None:
    scratch = {"start": "scratch", "steps": 300}
    write(study / "begun_gold", -0.2, weights="6" * 16, trained=cost("gold", **scratch), lost=0.12)
    write(study / "begun_step", -0.25, weights="7" * 16, trained=cost("step", **scratch), lost=0.08)
    scores, costs, controlled = remedy_tables(ablation(load_study(study), resamples=100))
    [row] = [row for row in scores.rows if row[0] == "step from scratch, 300 steps"]
    assert row[4:7] == ("-", "-", "-")
    [row] = [row for row in controlled.rows if row[0] == "step from scratch, 300 steps"]
    assert row[2] == "1 and 1"
    assert [cell.split()[0] for cell in row[3:]] == ["-3.0", "-5.0", "+4.0", "+1.0"]
    assert {row[0] for row in costs.rows} == {"step, 150 steps"}


def test_the_numbers_of_the_remedies_hold_declared_fields_alone(study: Path) -> None:
    known = [field._replace(type="mapping") if field.type == ESTIMATE else field for field in ANALYSIS_FIELDS]
    estimates = [field._replace(place=f"{each.place}.{field.place}") for each in ANALYSIS_FIELDS
                 if each.type == ESTIMATE for field in ESTIMATE_FIELDS]  # fmt: skip
    remedies = to_json(ablation(load_study(study), resamples=100))["remedies"]
    assert [each["break_even"] is None for each in remedies] == [True, False]
    assert undeclared({"remedies": remedies}, [*known, *estimates]) == []


def test_weights_that_score_less_do_not_pay_off(study: Path) -> None:
    write(study / "dialogue1", -0.2, weights="4" * 16, trained=cost("dialogue"))
    _, costs, _ = remedy_tables(ablation(load_study(study), resamples=100))
    assert {row[0]: row[-1] for row in costs.rows}[
        "dialogue, 150 steps"
    ] == "n/a: no gain over the same strategy"


def test_a_gain_that_leaves_the_test_time_arm_ahead_does_not_pay_off(study: Path) -> None:
    write(study / "better", 0.01, weights="5" * 16, trained=cost("average"))
    _, costs, _ = remedy_tables(ablation(load_study(study), resamples=100))
    assert {row[0]: row[-1] for row in costs.rows}["average, 150 steps"] == "n/a: scores less"


def test_a_study_without_trained_weights_has_no_such_table(tmp_path: Path) -> None:
    write(tmp_path / "shipped", 0.0)
    result = ablation(load_study(tmp_path), resamples=100)
    assert not [table.name for table in tables(result) if table.name.startswith("T9")]


def test_other_models_than_those_of_one_adapter_still_share_no_table(study: Path) -> None:
    about = study / "step1" / "own" / "manifest.json"
    about.write_text(about.read_text().replace("pocket:1:", "janus:1:"))
    with pytest.raises(StudyError, match="different backbones"):
        load_study(study)


def test_a_damaged_cost_names_its_manifest(study: Path) -> None:
    about = study / "step1" / "own" / "manifest.json"
    about.write_text(about.read_text().replace('"steps": 150', '"steps": "many"'))
    with pytest.raises(StudyError, match=r"step1/own/manifest\.json: damaged training"):
        load_study(study)
