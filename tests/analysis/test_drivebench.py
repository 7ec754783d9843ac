"""Tables of DriveBench: means, paired differences, official readings, and what cannot share a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from analysis.drivebench import Group, compare, questions_of, tables_of
from analysis.drivebench.__main__ import main
from analysis.drivebench.estimates import CAPABILITIES
from analysis.drivebench.grades import Grade, Key
from analysis.records import StudyError
from imug_tts.benchmarks.drivebench.kinds import CAPABILITIES as OF_RECORDS
from imug_tts.strategies import Direct
from imug_tts.testing.runs import run

KINDS = ("perception_mcq", "behavior_mcq", "planning_vqa")


def keys(num_scenes: int = 12) -> list[Key]:
    """Three kinds in two frames of each scene."""
    return [
        Key(kind, f"s{scene}", f"f{scene}.{frame}", f"{kind}{scene}.{frame}")
        for scene in range(num_scenes)
        for frame in range(2)
        for kind in KINDS
    ]


def group(
    name: str, *runs: Mapping[Key, Grade], scorer: str = "judge", data: str = "drivebench:clean"
) -> Group:
    return Group(name=name, runs=runs, benchmarks=frozenset([data]), scorers=frozenset([scorer]))


def graded(shift: float = 0.0, seed: int = 0, num_scenes: int = 12) -> dict[Key, Grade]:
    """Points around a level of the scene, in [0, 1]."""
    rng = np.random.default_rng(seed)
    levels = dict(zip([f"s{n}" for n in range(num_scenes)], rng.uniform(0.2, 0.6, num_scenes), strict=True))
    return {
        key: Grade(points=float(levels[key.scene] + rng.uniform(0, 0.1) + shift), official_points=0.5)
        for key in keys(num_scenes)
    }


def rows(groups: list[Group], name: str, baseline: str | None = None) -> dict[str, tuple[str, ...]]:
    tables = {table.name: table for table in tables_of(groups, questions_of(groups), baseline)}
    return {row[0]: row[1:] for row in tables[name].rows}


def test_the_average_is_the_mean_of_three_means_whatever_their_sizes() -> None:
    few = [key for key in keys() if key.kind != "planning_vqa" or key.scene in ("s0", "s1")]
    levels = dict(zip(KINDS, (0.9, 0.6, 0.3), strict=True))
    found = group("m", {key: Grade(points=levels[key.kind]) for key in few})
    questions = questions_of([found])
    means = questions.means(questions.of(found, "points"))
    assert means["average"].value == pytest.approx(0.6)
    assert means["perception_mcq"].value == pytest.approx(0.9)
    assert rows([found], "D1")["m"][1].startswith("90.0 [")


def test_scenes_are_resampled_whole_so_frames_of_one_scene_do_not_count_as_many() -> None:
    found = group("m", graded())
    by_scene, by_frame = (questions_of([found], cluster=c) for c in ("scene", "frame"))
    scene, frame = (q.means(q.of(found, "points"))["average"] for q in (by_scene, by_frame))
    assert scene.value == frame.value
    assert (scene.num_clusters, frame.num_clusters) == (12, 24)
    assert scene.standard_error > 1.2 * frame.standard_error
    assert scene.bootstrap_low < scene.value < scene.bootstrap_high


def test_a_difference_is_paired_so_the_level_of_a_scene_drops_out() -> None:
    student, distilled = group("student", graded()), group("distilled", graded(shift=0.05))
    questions = questions_of([student, distilled])
    difference = compare(questions, distilled, student)["average"]
    assert difference.value == pytest.approx(0.05)
    alone = questions.means(questions.of(student, "points"))["average"]
    assert difference.high - difference.low < 0.1 * (alone.high - alone.low)
    assert rows([student, distilled], "D3") == {"distilled": ("+5.0 [5.0, 5.0]",) * 4}
    assert rows([student, distilled], "D3", baseline="distilled")["student"][3] == "-5.0 [-5.0, -5.0]"


def test_runs_of_a_group_are_averaged_and_their_spread_is_said() -> None:
    two = group("m", graded(), graded(shift=0.1))
    questions = questions_of([two])
    one = group("one", graded(shift=0.05))
    assert questions.means(questions.of(two, "points"))["average"].value == pytest.approx(
        questions.means(questions.of(one, "points"))["average"].value
    )
    num_runs, *_, spread, unscored = rows([two], "D1")["m"]
    assert (num_runs, spread, unscored) == ("2", "7.1", "0/144")  # 10 / sqrt(2)
    assert rows([one], "D1")["one"][-2] == "-"


def test_what_is_unscored_is_counted_and_in_no_mean() -> None:
    grades: dict[Key, Grade] = dict(graded(num_scenes=4))
    first = next(iter(grades))
    whole = rows([group("m", grades)], "D2")["m, perception_mcq"]
    grades[first] = Grade(official_points=math.nan, right=True, official_right=True)
    part = rows([group("m", grades)], "D2")["m, perception_mcq"]
    assert (whole[1], whole[3]) == ("0/8", "50.00")
    assert (part[1], part[3]) == ("1/8", "n/a (1 unread)")  # there the official evaluation ends
    assert part[4].startswith("100.0")
    assert part[2] != whole[2]


def test_groups_of_different_judges_or_questions_are_refused() -> None:
    one = group("one", graded())
    with pytest.raises(StudyError, match="different judges graded the groups"):
        questions_of([one, group("two", graded(), scorer="another")])
    first = next(iter(graded()))
    asked = [{**graded(), first: Grade(points=0.5, asked=words)} for words in ("this", "that")]
    with pytest.raises(StudyError, match="one and two were asked different questions"):
        questions_of([group("one", asked[0]), group("two", asked[1])])
    with pytest.raises(StudyError, match="there is no group 'three'; the groups are one, two"):
        tables_of([one, group("two", graded())], questions_of([one]), "three")


def test_other_data_are_said_below_the_table() -> None:
    clean, fog = group("clean", graded()), group("fog", graded(), data="drivebench:Fog")
    (table, *_) = tables_of([clean, fog], questions_of([clean, fog]))
    assert "different data or settings: drivebench:Fog, drivebench:clean" in table.notes[-1]
    assert "Too few clusters (12 scenes < 30)" in table.notes[1]


def test_the_capabilities_are_those_that_records_name() -> None:
    assert {kind: name for name, kind in CAPABILITIES.items()} == OF_RECORDS


def manifest(folder: Path, **changes: object) -> None:
    """An unfinished run without records."""
    folder.mkdir(parents=True)
    known = {"strategy": "direct", "benchmark": "drivebench:clean:v1:0", "backbone": "local_vlm:1"}
    question = {"class": "planning_vqa", "domain": "s", "task": "f", "sample_id": "1", "modalities": ["text"]}
    rest = {
        "run": folder.name,
        "history": "own",
        "seed": 0,
        "oracle": False,
        "planned": [question],
        "identity": {},
    }
    (folder / "manifest.json").write_text(json.dumps(known | rest | changes))


def test_runs_of_a_folder_are_one_model_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("seed0", "seed1"):
        manifest(tmp_path / "same" / name, seed=int(name[-1]))
    assert main([f"m={tmp_path / 'same'}"]) == 0
    printed = capsys.readouterr().out
    assert "m is the mean of seed0, seed1." in printed
    assert "m,planning_vqa" in printed
    assert "2/2" in printed
    for what, other in (("strategy", "cot"), ("benchmark", "drivebench:Fog:v1:0")):
        manifest(tmp_path / what / "one")
        manifest(tmp_path / what / "two", **{what: other})
        assert main([f"m={tmp_path / what}"]) == 2
        assert f"cannot be averaged as runs of one model: their {what} is" in capsys.readouterr().err


def test_what_is_no_run_of_drivebench_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "there is no run at or below it" in capsys.readouterr().err
    run(tmp_path / "toy", Direct())
    assert main([f"m={tmp_path / 'toy'}"]) == 2
    assert "answered the benchmark toy:1, not drivebench" in capsys.readouterr().err
