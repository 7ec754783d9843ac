"""A run of the pocket world, exported, as the official scorers and our own reader find it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from imug_tts.benchmarks.imug.outputs import read_outputs
from imug_tts.benchmarks.imug.scores import place_of, read_scores
from imug_tts.benchmarks.pocket_world import PocketWorld
from imug_tts.benchmarks.pocket_world.official import write_official
from imug_tts.contracts import BackboneError, Candidate, Request
from imug_tts.dialogue import Image, Text
from imug_tts.records import read_turns
from imug_tts.runs import Arm, Run, execute
from imug_tts.strategies import Direct
from imug_tts.testing.runs import Listener
from imug_tts.testing.toys import ToyBackbone

WORLD = PocketWorld(num_samples=4)


class Drawer(ToyBackbone):
    """Draws one grey or another, says A, and falls over at the fifth turn."""

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        for request in requests:
            if len(request.history) > 8:
                raise BackboneError("out of memory")
        return [[self._answer(request, seed) for seed in request.seeds] for request in requests]

    @staticmethod
    def _answer(request: Request, seed: int) -> Candidate:
        if request.modality == "text":
            return Candidate(output=Text("A"))
        return Candidate(output=Image.from_pixels(np.full((64, 64, 3), seed % 256, np.uint8)))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_official(WORLD, folder / "world")
    arm = Arm(backbone=Drawer(), strategy=Direct(), benchmark=WORLD)
    run = Run(arm=arm, folder=folder / "run", config={})
    execute([run], journal=folder / "journal", trackers=[Listener()])
    return folder


def export(*knobs: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "experiments/export.py", *knobs], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def exported(study: Path) -> Path:
    done = export(f"run={study}/run", f"benchmark.root={study}/world", f"out={study}/out", "model=grey")
    assert done.returncode == 0, done.stderr
    assert str(study / "out" / "grey") in done.stdout
    return study / "out" / "grey"


def test_every_turn_of_the_run_is_read_again(study: Path, exported: Path) -> None:
    turns = [line.record for line in read_turns(study / "run")]
    outputs = read_outputs(exported, WORLD.samples())
    for turn in turns:
        key = f"{turn['domain']}/{turn['task']}/{turn['sample_id']}", turn["turn"]
        if turn["outcome"] == "scored":
            assert outputs.answers[key].to_json() == turn["response"]["output"]
        else:
            assert outputs.failures[key] == turn["error"] == "BackboneError: out of memory"
    assert len(turns) < len(outputs.answers) + len(outputs.failures)  # turns after a failed one


def test_scores_and_summary_are_those_of_the_run(study: Path, exported: Path) -> None:
    turns = [line.record for line in read_turns(study / "run")]
    scores = {place_of(turn): turn["score"] for turn in turns if turn["outcome"] == "scored"}
    assert {place_of(record): record["score"] for record in read_scores(exported)["grey"]} == scores
    summary = json.loads((exported / "summary/summary.json").read_text())
    overall = summary["models"]["grey"]["overall"]["all"]
    assert overall == {"mean": round(100 * sum(scores.values()) / len(scores), 2), "count": len(scores)}


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"model": "../grey"}, "'../grey' cannot name a file or folder"),
        ({"model": ""}, "'' cannot name a file or folder"),
        ({"run": "nowhere"}, "nowhere cannot be read as the folder of a run"),
        ({"benchmark.root": "nowhere"}, "there is no benchmark.jsonl in nowhere"),
        ({"benchmark.rot": "x"}, "benchmark imug has no knob 'rot'; did you mean root?"),
        ({"benchmark.root": "null"}, "benchmark.root must be set"),
        ({"run": "???"}, "e.g. run=runs/STUDY/RUN"),
        ({"benchmark": "pocket_world", "benchmark.root": ""}, "benchmark=imug benchmark.root=DIR"),
    ],
)
def test_what_cannot_be_done_is_said(study: Path, knobs: dict[str, str], complaint: str) -> None:
    given = {"run": f"{study}/run", "benchmark.root": f"{study}/world", "out": f"{study}/no", "model": "m"}
    done = export(*(f"{key}={value}" for key, value in {**given, **knobs}.items() if value or key == "model"))
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (study / "no").exists()


def test_pictures_are_links_to_those_of_the_run(exported: Path) -> None:
    pictures = list(exported.rglob("turn_*_output.png"))
    assert pictures
    assert all(picture.stat().st_nlink > 1 for picture in pictures)


def test_a_folder_that_is_not_empty_is_refused_before_anything_is_read(study: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.txt").touch()
    done = export("run=nowhere", f"benchmark.root={study}/world", f"out={tmp_path}", "model=m")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/m is not empty" in done.stderr


def test_data_with_other_requests_are_refused(study: Path, tmp_path: Path) -> None:
    write_official(PocketWorld(num_samples=4, seed=1), tmp_path / "world")
    done = export(f"run={study}/run", f"benchmark.root={tmp_path}/world", f"out={tmp_path}", "model=m")
    assert done.returncode == 2
    assert f"run answered the benchmark {WORLD.identity}, and {tmp_path}/world is imug:" in done.stderr
    assert "name the data that it answered: benchmark.root=DIR" in done.stderr
    assert not (tmp_path / "m").exists()
