"""experiments/distill.py on tiny checkpoints of both families: whole runs, kills, processes, the ablation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import load_file

from experiments.distill import main
from experiments.distill_table import read_metrics, table
from tests.tracking.studies import leave_alone
from tests.tracking.wandb_reader import directories
from tests.training.tiny import write_models, write_triad

ROOT: Final = Path(__file__).parents[2]
KILLED: Final = """
import os, signal, sys
from imug_tts.training import checkpoint
from experiments.distill import main

save = checkpoint.save

def save_and_die(*given):
    save(*given)
    if given[4].step == 2:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save = save_and_die
main()
"""
"""A process that kills itself as soon as the checkpoint of step 2 is written."""


class Command:
    """experiments/distill.py in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Run it, check the exit status, and return what it printed."""
        self._monkeypatch.setattr(sys, "argv", ["distill.py", *arguments])
        found = main()
        printed = self._capsys.readouterr()
        assert found == status, printed.err
        return printed.out if status == 0 else printed.err


@pytest.fixture
def distill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(monkeypatch, capsys)


def arguments(folder: Path, family: str, teachers: int = 1, records: int = 6) -> list[str]:
    student, folders = write_models(folder, family, teachers, layers=(4, 6))
    data = write_triad(folder / "data", records)
    held_out = write_triad(folder / "held_out", 3)
    roles = ("perception", "reasoning", "planning")
    own = [f"teachers.{role}={one}" for role, one in zip(roles, folders, strict=False)]
    return [
        f"student={student}",
        *([f"teacher={folders[0]}"] if teachers == 1 else own),
        *(f"data={data}", f"held_out={held_out}", "tracking=none", "training.image_px=16"),
        *("training.batch=2", "training.learning_rate=1e-3"),
    ]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "student" / "model.safetensors")


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


@pytest.mark.parametrize("family", ["internvl3", "qwen2_5_vl"])
def test_a_training_killed_after_a_step_ends_as_one_that_was_not(
    family: str, distill: Command, tmp_path: Path
) -> None:
    given = [*arguments(tmp_path, family, teachers=3), "training.save_every=1"]
    printed = distill(*given, "output=whole")
    whole = metrics(Path("whole"))
    assert "| drive_kd |" in printed
    assert "An interval is not available with one seed" in printed
    assert (whole["steps"], whole["records_used"]) == (3, 6)
    for capability in ("perception", "reasoning", "planning"):
        assert whole["held_out"][capability]["loss"] < whole["held_out_before"][capability]["loss"]

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *given, "output=parts"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not Path("parts", "metrics.json").exists()
    distill(*given, "output=parts")
    for name, tensor in weights(Path("whole")).items():
        assert torch.equal(tensor, weights(Path("parts"))[name]), name
    lines = [(Path(name) / "training.jsonl").read_text() for name in ("whole", "parts")]
    assert lines[0] == lines[1]
    assert metrics(Path("parts")) | {"seconds": 0} == whole | {"seconds": 0}
    assert not list(Path("parts").glob("*checkpoint*"))


@pytest.mark.parametrize("family", ["internvl3", "qwen2_5_vl"])
def test_a_student_is_a_folder_of_transformers(family: str, distill: Command, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    given = arguments(tmp_path, family, records=2)
    distill(*given, "output=one", "training.precision=bf16", "training.gradient_checkpointing=true")
    student = Path("one", "student")
    model: Any = AutoModelForImageTextToText.from_pretrained(student)
    assert model.dtype == torch.float32  # as the folder that it came from
    assert AutoTokenizer.from_pretrained(student).chat_template
    source = {file.name for file in (tmp_path / "student").iterdir()}
    assert {file.name for file in student.iterdir()} == source
    before, after = load_file(tmp_path / "student" / "model.safetensors"), weights(Path("one"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("vision" not in name and "visual" not in name and "projector" not in name for name in changed)


def test_two_processes_train_as_one(distill: Command, tmp_path: Path) -> None:
    given = [*arguments(tmp_path, "internvl3", records=5), "training.precision=float32"]
    distill(*given, "output=alone")
    launched = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    subprocess.run(
        [
            *launched,
            "--main_process_port",
            "0",
            str(ROOT / "experiments" / "distill.py"),
            *given,
            "output=pair",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    assert metrics(Path("pair"))["steps"] == metrics(Path("alone"))["steps"] == 3
    for name, tensor in weights(Path("alone")).items():
        torch.testing.assert_close(weights(Path("pair"))[name], tensor, rtol=1e-4, atol=1e-6)


def swept(folder: Path, *given: str) -> str:
    """What `distill.py -m` prints, in a process of its own, in which Hydra finds its plugins."""
    command = [sys.executable, str(ROOT / "experiments" / "distill.py"), "-m", *given]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_ablation_trains_every_method_once_and_says_what_a_seed_is_worth(tmp_path: Path) -> None:
    given = [*arguments(tmp_path, "internvl3", records=3), "output=ablation"]
    given += ["training.max_steps=1", "training.batch=1", "training.precision=float32"]
    printed = swept(tmp_path, "experiment=drive_kd_ablation", "seed=0", *given)
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 1 + 19
    assert all(f"| {name} |" in printed for name in ("supervised", "kl", "reasoning_hidden", "anchor_stage"))
    assert "An interval is not available with one seed" in printed
    study = tmp_path / "ablation"
    logs = {file: file.stat().st_mtime_ns for file in study.glob("*/training.jsonl")}
    assert len(logs) == 19

    again = swept(tmp_path, "method=supervised,drive_kd", "seed=0,1", *given)
    assert len(list(study.glob("*/training.jsonl"))) == 21
    assert all(file.stat().st_mtime_ns == then for file, then in logs.items())
    (row,) = [line for line in again.splitlines() if line.startswith("| drive_kd |")]
    assert row.count("[") == 3
    assert row.endswith("| 2 |")
    assert "not available with one seed" not in again
    assert table(read_metrics(study)).count("\n| ") == 2 + 19  # of the whole study, seeds together


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (
            "teacher=null",
            "teacher must be set: the method drive_kd has one for perception; give teacher=FOLDER",
        ),
        ("data=none.jsonl", "none.jsonl cannot be read: No such file"),
        ("method.projection=pcgrad", "method.projection is 'pcgrad'"),
        ("method.records=[driving]", "method.records is 'driving'"),
        ("held_out_share=1", "held_out_share is 1; it must be below 1"),
        ("method=distil", "method: there is no 'distil'"),
        ("method.perception.of=hidden method.perception.distance=cosine", "hidden states take squared_error"),
        ("training.batch=0", "training.batch is 0; it must be 1 or more"),
    ],
)
def test_what_cannot_work_is_said_before_any_training(
    distill: Command, tmp_path: Path, changed: str, complaint: str
) -> None:
    given = [*arguments(tmp_path, "internvl3", records=3), "output=never"]
    assert complaint in distill(*given, *changed.split(), status=2)
    assert not Path("never").exists()


def test_a_folder_of_another_training_is_refused(distill: Command, tmp_path: Path) -> None:
    given = [*arguments(tmp_path, "internvl3", records=2), "output=one", "method=supervised"]
    distill(*given)
    complaint = distill(*given, "seed=1", status=2)
    assert "one holds another training: its configuration, models or records have changed" in complaint


def test_help_lists_every_knob_and_imports_nothing_heavy(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", str(ROOT / "experiments" / "distill.py"), "--help"]
    done = subprocess.run([*command, "method=kl"], cwd=tmp_path, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & {"torch", "transformers", "accelerate", "pandas", "PIL"}
    assert "learning_rate: 5e-05  # AdamW's learning rate." in done.stdout
    assert "kl: 1.0  # Weight of KL" in done.stdout


def test_a_training_is_a_run_of_wandb(
    distill: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_alone(monkeypatch, tmp_path)
    given = [*arguments(tmp_path, "internvl3", records=6), "output=study/one", "training.precision=float32"]
    given[given.index("tracking=none")] = "tracking=[console,wandb]"
    distill(*given, "tracking.wandb.mode=offline", "tracking.wandb.interval_s=0")
    [run] = directories(Path("study"))
    assert run.config["configuration"]["method"]["title"] == "drive_kd"
    assert run.config["identity"]["identity"] == metrics(Path("study/one"))["identity"]
    assert run.points("step") == [1, 2, 3]
    lines = [json.loads(line) for line in Path("study/one/training.jsonl").read_text().splitlines()]
    for group in ("losses", "weights", "shares", "gradient_norms", "angles"):
        for name in lines[0][group]:
            assert run.points(f"{group}/{name}") == [line[group][name] for line in lines], (group, name)
    held_out = metrics(Path("study/one"))["held_out"]
    for capability, found in held_out.items():
        assert run.summary[f"final/held_out/{capability}/loss"] == found["loss"]

    distill(*given, "tracking.wandb.mode=offline")  # a finished training is logged once
    assert len(directories(Path("study"))) == 1
