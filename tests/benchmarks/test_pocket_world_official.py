"""The samples in the official file layout, read back with nothing but json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from experiments.write_pocket_world import main
from imug_tts.benchmarks.pocket_world import PocketWorld
from imug_tts.benchmarks.pocket_world.official import write_official

WORLD = PocketWorld(num_samples=90)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def key(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["domain"], record["subdomain"], record["sample_id"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(WORLD, tmp_path_factory.mktemp("official"))


def test_layout(data: Path) -> None:
    assert data.name == "data"
    names = {"benchmark.jsonl", "image_references.jsonl", "dynamic_references.jsonl", "images"}
    assert {path.name for path in data.iterdir()} == names
    assert not list((data / "images").iterdir())


def test_records_have_the_official_fields(data: Path) -> None:
    records = read(data / "benchmark.jsonl")
    assert len({key(record) for record in records}) == len(records) == 90
    for record in records:
        assert set(record) == {"domain", "subdomain", "sample_id", "tasks"}
        assert all(re.fullmatch(r"[A-Za-z0-9_]+", part) and "__" not in part for part in key(record))
        assert [task["turn"] for task in record["tasks"]] == list(range(1, len(record["tasks"]) + 1))
        for task in record["tasks"]:
            check_task(task)
    assert {record["domain"] for record in records} == {
        "Pocket_Static_Spatial",
        "Pocket_Temporal_Causal",
        "Pocket_Hybrid",
    }


def check_task(task: dict[str, Any]) -> None:
    assert set(task) == {"turn", "modality", "input", "output"}
    assert [set(part) for part in task["input"]] == [{"text"}]
    assert task["input"][0]["text"]
    if task["modality"] == "text":
        assert set(task["output"]) == {"answer"}
        assert re.fullmatch("[A-G]|<DYNAMIC>", task["output"]["answer"])
    else:
        assert task["modality"] == "image"
        assert set(task["output"]) == {"evaluation_points"}
        assert len(task["output"]["evaluation_points"]) >= 3
        assert all(isinstance(point, str) and point for point in task["output"]["evaluation_points"])


def test_records_are_the_samples(data: Path) -> None:
    for record, sample in zip(read(data / "benchmark.jsonl"), WORLD.samples(), strict=True):
        assert key(record) == (sample.domain, sample.task, sample.sample_id)
        for task, question in zip(record["tasks"], sample.questions, strict=True):
            assert (task["turn"], task["modality"]) == (question.number, question.modality)
            assert task["input"] == [part.to_json() for part in question.parts]


def test_image_references_name_the_picture_before(data: Path) -> None:
    tasks = {key(record): record["tasks"] for record in read(data / "benchmark.jsonl")}
    seen = set()
    for record in read(data / "image_references.jsonl"):
        assert set(record) == {"domain", "subdomain", "sample_id", "reference_links"}
        turns = [task["turn"] for task in tasks[key(record)] if task["modality"] == "image"]
        before = dict(zip(turns[1:], turns[:-1], strict=True))
        assert {link["turn_idx"]: link["refs"] for link in record["reference_links"]} == {
            turn: [{"ref_turn": ref, "ref_type": "output"}] for turn, ref in before.items()
        }
        seen.add(key(record))
    several = {k for k, v in tasks.items() if sum(task["modality"] == "image" for task in v) > 1}
    assert seen == several


def test_dynamic_references_are_pictures_since_the_free_placement(data: Path) -> None:
    tasks = {key(record): record["tasks"] for record in read(data / "benchmark.jsonl")}
    found = set()
    for record in read(data / "dynamic_references.jsonl"):
        assert set(record) == {"domain", "subdomain", "sample_id", "turn_idx", "ref_turn_idxs"}
        refs = [tasks[key(record)][ref - 1] for ref in record["ref_turn_idxs"]]
        assert refs
        assert all(ref["modality"] == "image" and ref["turn"] < record["turn_idx"] for ref in refs)
        assert "anywhere" in refs[0]["input"][0]["text"]
        found.add((*key(record), record["turn_idx"]))
    every = ((*k, task["turn"], task["output"].get("answer")) for k, v in tasks.items() for task in v)
    dynamic = {tuple(names) for *names, answer in every if answer == "<DYNAMIC>"}
    assert found == dynamic != set()


def test_files_are_the_same_each_time(data: Path, tmp_path: Path) -> None:
    again = write_official(PocketWorld(num_samples=90), tmp_path)
    for path in data.glob("*.jsonl"):
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_a_benchmark_that_is_there_is_not_overwritten(data: Path) -> None:
    before = (data / "benchmark.jsonl").read_bytes()
    with pytest.raises(FileExistsError, match="another folder"):
        write_official(PocketWorld(num_samples=3), data.parent)
    assert (data / "benchmark.jsonl").read_bytes() == before


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--out", str(tmp_path), "--num-samples", "9", "--classes", "hybrid"]
    monkeypatch.setattr("sys.argv", ["write_pocket_world.py", *arguments])
    main()
    assert "3 samples" in capsys.readouterr().out
    assert len(read(tmp_path / "data" / "benchmark.jsonl")) == 3
    with pytest.raises(SystemExit):
        main()
    assert "another folder" in capsys.readouterr().err
