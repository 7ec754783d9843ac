"""The data of a run in wandb, read with wandb's own reader."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Pillow

from imug_tts.contracts import BackboneError, Candidate, Cost, PlannedRun, Request
from imug_tts.runs import Arm, Run, execute
from imug_tts.strategies import Direct
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone
from tests.tracking.studies import (
    AT_TENTH,
    KEY,
    PASSWORD,
    interrupt,
    leave_alone,
    records_of,
    tracked,
    tracker,
)
from tests.tracking.wandb_reader import RunDirectory, directories


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    leave_alone(monkeypatch, tmp_path)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with one finished run."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        leave_alone(patched, folder)
        tracked(folder / "study", dialogues=2, tags=["toys"])
    return folder / "study"


@pytest.fixture(scope="module")
def whole(study: Path) -> RunDirectory:
    [directory] = directories(study)
    return directory


def test_a_run_begins_with_its_group_id_and_every_knob(whole: RunDirectory, study: Path) -> None:
    run = whole.run
    assert (run["run_group"], run["project"], run["display_name"]) == ("study", "imug_tts", "best")
    assert run["run_id"].startswith("study-best-")
    assert run["tags"] == ["toys"]
    manifest = json.loads((study / "best" / "manifest.json").read_bytes())
    assert whole.config["identity"] == manifest["identity"]
    assert whole.config["configuration"] == {"seed": 0}
    assert (whole.config["run"], whole.config["planned_turns"]) == ("best", 24)


@dataclass
class Fragile(ToyBackbone):
    """Refuses some images, and fails on the texts of the second dialogue."""

    refusal_rate: float = 0.2

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        for request in requests:
            if request.modality == "text" and "of 1" in str(request.history[-1].parts):
                raise BackboneError("no answer")
        return super().generate(requests)


def test_the_series_of_a_run_are_in_its_history(whole: RunDirectory) -> None:
    assert whole.points() == list(range(1, 25))
    assert whole.points("turns/scored") == list(range(1, 25))
    for payer in ("generator", "judge", "all"):
        assert whole.points(f"cost/{payer}/calls") == sorted(whole.points(f"cost/{payer}/calls"))
    last = [row for row in whole.history if "turns/done" in row][-1]
    assert last["cost/all/images"] == last["cost/generator/images"] == 36
    assert last["turns/failed"] == last["turns/refused"] == last["verdicts/unread"] == 0
    assert last["candidate_pools/all"] == 12
    assert 0 <= last["candidate_pools/identical_share"] <= 1
    assert last["calls/made"] >= last["cost/generator/calls"]
    assert {f"cost/all/{kind}" for kind in Cost().to_json()} <= set(last)


def test_scores_are_means_by_history_modality_class_and_turn(whole: RunDirectory, study: Path) -> None:
    records = records_of(study / "best")
    last = [row for row in whole.history if "turns/done" in row][-1]
    scores = [record["score"] for record in records if record["modality"] == "image"]
    third = [record["score"] for record in records if record["turn"] == 3]
    assert last["score/own/image"] == pytest.approx(sum(scores) / 12)
    assert last["score/own/image/class/static_spatial"] == pytest.approx(sum(scores) / 12)
    assert last["score/own/image/turn/03"] == pytest.approx(sum(third) / 6)


def test_the_summary_holds_what_the_run_came_to(whole: RunDirectory, study: Path) -> None:
    summary = json.loads((study / "best" / "summary.json").read_bytes())
    assert whole.summary["final/scored"] == summary["scored"] == 24
    assert whole.summary["final/scores/image"] == pytest.approx(summary["scores"]["image"])
    assert whole.summary["final/intrinsic/calls"] == summary["intrinsic"]["calls"]
    assert whole.summary["final/interrupted"] is False


def test_sampled_dialogues_are_a_table_and_panels_of_images(whole: RunDirectory) -> None:
    rows = whole.table("dialogues")
    assert {row["sample"] for row in rows} < {"0", "1", "2", "3", "4", "5"}
    assert len({row["sample"] for row in rows}) == 2
    drawn = [row for row in rows if row["turn"] == 1]
    assert [row["place"] for row in drawn[:4]] == ["answer", "candidate 0", "candidate 1", "candidate 2"]
    assert sum(row["chosen"] for row in drawn[1:4]) == 1
    assert {row["verdict"] for row in drawn[1:4]} == {"ok"}
    for row in drawn:
        with Pillow.open(BytesIO(row["image"])) as image:
            assert image.format == "PNG"
    names = [name for name in whole.summary if name.startswith("dialogues/") and name.endswith(".filenames")]
    assert len(names) == 2
    for name in names:
        assert len(whole.summary[name]) == 8
        assert all(whole.media(path).is_file() for path in whole.summary[name])
        captions = whole.summary[name.replace(".filenames", ".captions")]
        assert captions[0].startswith("turn 1, answer, score")


def test_the_records_are_an_artifact(whole: RunDirectory, study: Path) -> None:
    files = whole.artifacts["records"]
    assert set(files) == {"turns.jsonl", "manifest.json", "summary.json", "config.yaml"}
    assert files["turns.jsonl"] == (study / "best" / "turns.jsonl").read_bytes()


def test_each_arm_is_a_run_of_its_own_whose_scores_stand_under_its_history(tmp_path: Path) -> None:
    arms = {
        history: Arm(backbone=Fragile(), strategy=Direct(), benchmark=ToyBenchmark(), history=history)
        for history in ("own", "gold")
    }
    study = tmp_path / "study"
    runs = [Run(arm=arm, folder=study / name, config={}) for name, arm in arms.items()]
    execute(runs, journal=study / "journal", trackers=[tracker()])
    parts = {part.run["display_name"]: part for part in directories(study)}
    assert set(parts) == {"own", "gold"}
    assert len({part.run["run_id"] for part in parts.values()}) == 2
    assert {part.run["run_group"] for part in parts.values()} == {"study"}
    for name, part in parts.items():
        outcomes = [record["outcome"] for record in records_of(study / name)]
        assert part.summary["turns/refused"] == outcomes.count("refused")
        assert part.summary["turns/scored"] == outcomes.count("scored")
        failed = len(outcomes) - outcomes.count("refused") - outcomes.count("scored")
        assert part.summary["turns/failed"] == failed > 0
        scores = {key.split("/")[1] for key in part.summary if key.startswith("score/")}
        assert scores == {name}


def test_a_restarted_run_is_one_run_whose_points_do_not_double(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study"
    monkeypatch.setattr(AT_TENTH, "acts", (interrupt,))
    with pytest.raises(KeyboardInterrupt):
        tracked(study)
    monkeypatch.setattr(AT_TENTH, "acts", ())
    for _ in range(2):
        tracked(study)
    parts = directories(study)
    assert len(parts) == 2  # the third invocation had nothing to do
    assert len({part.run["run_id"] for part in parts}) == 1
    assert all(part.run["resume"] for part in parts)
    assert [turns for part in parts for turns in part.points()] == list(range(1, 25))
    steps = [row["_step"] for part in parts for row in part.history]
    assert steps == sorted(set(steps))
    assert [part.summary["final/interrupted"] for part in parts] == [True, False]
    assert parts[1].points("score/own/image")[-1] == pytest.approx(parts[1].summary["final/scores/image"])


def test_several_processes_on_one_run_tell_each_point_once(study: Path, tmp_path: Path) -> None:
    records = records_of(study / "best")
    folder = tmp_path / "shards" / "best"
    plan = PlannedRun(name="best", title="best", folder=folder, study="shards", planned=len(records))
    shards = [tracker(), tracker()]
    for shard in shards:
        shard.start([plan])
    for number, record in enumerate(records):
        for index, shard in enumerate(shards):
            shard.turn(plan, record, number % 2 != index)
    for shard in shards:
        shard.close()
    parts = directories(tmp_path / "shards")
    assert len(parts) == 2
    assert len({part.run["run_id"] for part in parts}) == 1
    assert sorted(turns for part in parts for turns in part.points()) == list(range(1, 25))


def test_a_key_and_a_password_of_the_environment_are_nowhere(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("JUDGE_PASSWORD", PASSWORD)
    (home / ".netrc").write_text(f"machine api.wandb.ai login user password {PASSWORD}\n")
    tracked(tmp_path / "study", mode="offline")
    (home / ".netrc").unlink()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    assert any(path.suffix == ".wandb" for path in files)
    held = b"".join(path.read_bytes() for path in files)
    assert KEY.encode() not in held
    assert PASSWORD.encode() not in held


def test_a_password_in_the_configuration_never_reaches_wandb(tmp_path: Path) -> None:
    arm = Arm(backbone=ToyBackbone(), strategy=Direct(), benchmark=ToyBenchmark())
    one = Run(arm=arm, folder=tmp_path / "study" / "run", config={"judge": {"password": PASSWORD}})
    with pytest.warns(UserWarning, match=r"WandbTracker failed .*judge\.password looks like a secret"):
        execute([one], journal=tmp_path / "journal", trackers=[tracker()])
    assert not (tmp_path / "study" / "wandb").exists()


def test_wandb_writes_into_the_folder_of_the_study_alone(study: Path) -> None:
    assert {path.name for path in study.parent.iterdir()} - {"reader"} == {"study", "home", "tmp"}
    assert {path.name for path in study.iterdir()} == {"best", "journal", "wandb"}
    assert not list((study.parent / "home").iterdir())
    assert not list((study.parent / "tmp").iterdir())


def test_a_lock_that_a_killed_process_left_stops_no_points(tmp_path: Path) -> None:
    folder = tmp_path / "study" / "wandb"
    folder.mkdir(parents=True)
    lock = folder / "best.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    tracked(tmp_path / "study")
    [directory] = directories(tmp_path / "study")
    assert directory.points() == list(range(1, 25))
    assert not lock.exists()
