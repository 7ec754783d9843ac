"""The command line as a user meets it: the real process, with a backbone that is a plugin."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = '''
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imug_tts.contracts import BackboneError, Candidate, Capabilities, Cost
from imug_tts.dialogue import Image, Text


@dataclass(frozen=True, kw_only=True)
class Painter:
    """Paints every image in one shade and answers A; tells a file of every call."""

    shade: int = 255
    calls: Path
    broken: bool = False
    seconds: float = 0.0

    @property
    def identity(self):
        return f"painter:{self.shade}"

    @property
    def capabilities(self):
        return Capabilities(
            outputs=frozenset({"text", "image"}), reads_images=True, draws_from_images=True,
            seeds="exact", logits=True, max_batch=8,
        )

    def generate(self, requests):
        with self.calls.open("a") as file:
            file.write(f"{id(self)}\\n")
        time.sleep(self.seconds)
        if self.broken:
            raise BackboneError("the paint is dry")
        return [[self._answer(request) for _ in request.seeds] for request in requests]

    def _answer(self, request):
        if request.modality == "image":
            return Candidate(output=Image.from_pixels(np.full((64, 64, 3), self.shade, np.uint8)))
        return Candidate(output=Text("yes" if request.form == "yes_no" else "A"), p_yes=0.6, cost=Cost(calls=1))
'''


class Shell:
    """Runs `experiments/run.py` in a directory of its own, with the painter installed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        packages = home / "packages"
        about = packages / "painter-1.0.dist-info"
        about.mkdir(parents=True)
        (packages / "painter.py").write_text(PLUGIN)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: painter\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("[imug_tts.backbones]\npainter = painter:Painter\n")
        (home / "conf" / "backbone").mkdir(parents=True)
        self.calls = home / "calls.txt"
        node = f"name: painter\nshade: 255\ncalls: {self.calls}\nbroken: false\nseconds: 0\n"
        (home / "conf" / "backbone" / "painter.yaml").write_text(node)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "experiments" / "run.py"), *arguments]
        environment = os.environ | {"PYTHONPATH": str(self.home / "packages"), "PYTHONWARNINGS": "error"}
        return subprocess.Popen(
            command,
            cwd=self.home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_painting(self, *arguments: str) -> subprocess.Popen[str]:
        chosen = ["backbone=painter", "benchmark.num_samples=6"]
        flags = [argument for argument in arguments if argument == "-m"]
        overrides = [argument for argument in arguments if argument != "-m"]
        return self.start("--config-dir", str(self.home / "conf"), *flags, *chosen, *overrides)

    def paint(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start_painting(*arguments)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def calls_made(self) -> list[str]:
        return self.calls.read_text().split() if self.calls.exists() else []


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["--cfg", "job", "strategy=cot"]])
def test_help_and_configuration_import_nothing_heavy(shell: Shell, arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", str(ROOT / "experiments" / "run.py"), *arguments]
    done = subprocess.run(command, cwd=shell.home, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & {"torch", "transformers", "pandas", "numpy", "PIL", "imug_tts.runs"}
    assert "strategy" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["strategy=bestofn"], ["strategy: there is no 'bestofn'", "did you mean best_of_n?"]),
        (["strategy=best_of_n", "strategy.nn=8"], ["strategy best_of_n has no knob 'nn'", "did you mean n?"]),
        (["strategy.n=8"], ["strategy direct has no knob 'n'"]),
        (["+strategy.nn=8"], ["strategy direct has no knob 'nn'"]),
        (["stratgy=direct"], ["has no knob 'stratgy'", "did you mean strategy?"]),
        (["benchmark.num_sample=3"], ["benchmark pocket_world has no knob", "did you mean num_samples?"]),
        (["benchmark.classes=[hybird]"], ["benchmark.classes is 'hybird'", "did you mean hybrid?"]),
        (["benchmark.num_samples=0"], ["benchmark: num_samples is 0"]),
        (["history=gld"], ["history is 'gld'", "did you mean gold?"]),
        (["judge=exat"], ["judge: there is no 'exat'", "did you mean exact?"]),
        (["judge.api_key=abc"], ["judge.api_key looks like a secret", "environment"]),
        (["strategy=self_verify", "judge=none"], ["self_verify needs a judge"]),
        (["strategy@strategy.inner=cot"], ["there is no strategy at strategy.inner"]),
        (["strategy=direct,cot"], ["--multirun"]),
        (["experiment=demo"], ["experiment=demo is a study", "-m"]),
        (["experiment=dmo"], ["experiment: there is no 'dmo'", "did you mean demo?"]),
        (["-m", "strategy=direct,bestofn"], ["did you mean best_of_n?"]),
        (["-m", "history=own,gld"], ["did you mean gold?"]),
        (["-m", "sed=0,1"], ["has no knob 'sed'", "did you mean seed?"]),
    ],
)
def test_what_cannot_work_is_one_clear_message(shell: Shell, arguments: list[str], words: list[str]) -> None:
    done = shell.paint(*arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert shell.calls_made() == []
    assert not (shell.home / "runs").exists()


def test_a_run_writes_its_folder_and_nothing_beside_it(shell: Shell) -> None:
    before = files_below(shell.home)
    done = shell.paint("strategy=cot")
    assert done.returncode == 0, done.stderr
    assert files_below(shell.home) - before == {"runs", "calls.txt"}
    assert re.search(r"turns scored", done.stderr)
    [run] = (shell.home / "runs" / "default").glob("cot-????????")
    assert str(run.relative_to(shell.home)) in done.stdout
    assert (shell.home / "runs" / "default" / "journal").is_dir()
    assert {"config.yaml", "manifest.json", "turns.jsonl", "summary.json"} <= files_below(run)
    records = [json.loads(line) for line in (run / "turns.jsonl").read_text().splitlines()]
    assert {record["strategy"] for record in records} == {"cot"}
    manifest = json.loads((run / "manifest.json").read_text())
    assert len(records) == sum(len(sample["modalities"]) for sample in manifest["planned"])


def test_the_same_command_again_does_nothing_again(shell: Shell) -> None:
    shell.paint("output=here", "tracking=none")
    calls = shell.calls_made()
    records = (shell.home / "here" / "turns.jsonl").read_bytes()
    again = shell.paint("output=here")
    assert again.returncode == 0
    assert "nothing left to do" in again.stderr
    assert shell.calls_made() == calls
    assert (shell.home / "here" / "turns.jsonl").read_bytes() == records
    assert (shell.home / "here" / "journal").is_dir()


def test_a_study_runs_every_combination_in_one_process_with_one_backbone(shell: Shell) -> None:
    classes = "benchmark.classes=[hybrid],[static_spatial,temporal_causal]"
    done = shell.paint(
        "-m", "strategy=direct,best_of_n", classes, "history=own,gold", "seed=3", "output=study"
    )
    assert done.returncode == 0, done.stderr
    assert len(set(shell.calls_made())) == 1
    runs = [folder for folder in (shell.home / "study").iterdir() if folder.name != "journal"]
    manifests = [json.loads((run / "manifest.json").read_text()) for run in runs]
    arms = [(m["strategy"], m["history"], m["seed"], len(m["planned"])) for m in manifests]
    strategies, histories = ("direct", "best_of_4"), ("own", "gold")
    assert sorted(arms) == sorted((s, h, 3, n) for s in strategies for h in histories for n in (2, 4))
    last = "run 8/8  best_of_4  history=gold  benchmark.classes=static_spatial,temporal_causal"
    assert last in done.stderr
    assert "8 runs are in study" in done.stdout


def test_the_lists_of_an_experiment_can_be_replaced(shell: Shell) -> None:
    done = shell.paint(
        "-m", "experiment=demo", "strategy=direct,cot", "history=own", "benchmark.classes=[hybrid]"
    )
    assert done.returncode == 0, done.stderr
    assert "2 runs are in runs/demo" in done.stdout


def test_turns_that_are_not_scored_show_in_the_exit_status(shell: Shell) -> None:
    broken = shell.paint("backbone.broken=true", "output=here")
    assert broken.returncode == 1
    assert "turns are missing" in broken.stderr
    assert "failed" in broken.stderr


def test_an_interrupted_study_stops_and_the_same_command_goes_on(shell: Shell) -> None:
    arguments = ("-m", "seed=0,1", "output=here")
    process = shell.start_painting(*arguments, "backbone.seconds=0.2", "in_flight=1")
    while process.poll() is None and len(shell.calls_made()) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "start the same command again to go on" in err
    assert "Traceback" not in err
    assert shell.paint(*arguments, "backbone.seconds=0.2").returncode == 0


def test_a_folder_of_another_configuration_is_refused(shell: Shell) -> None:
    shell.paint("output=here")
    other = shell.paint("output=here", "seed=1")
    assert other.returncode == 2
    assert "another configuration" in other.stderr
    assert "Traceback" not in other.stderr


def test_an_output_that_cannot_be_written_is_said(shell: Shell) -> None:
    (shell.home / "file").write_text("in the way")
    done = shell.paint("output=file")
    assert done.returncode == 1
    assert "output=DIR" in done.stderr
    assert "Traceback" not in done.stderr
