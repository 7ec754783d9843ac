"""Training for seconds: killed for real, resumed, exported, loaded."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.pocket_training import on_policy, trees
from experiments.pocket_training.config import TrainConfig
from experiments.pocket_training.export import export
from experiments.pocket_training.model import tree_mask
from experiments.pocket_training.train_image_tokenizer import train_image_tokenizer
from experiments.pocket_training.trainer import Trainer, build_optimizers, train
from imug_tts.backbones.pocket.backbone import WEIGHTS
from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.dialogues import make_dialogue
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.records import read_turns

TOKENIZER = WEIGHTS / "image_tokenizer.safetensors"
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCRIPT, RUN = EXPERIMENTS / "train_pocket.py", EXPERIMENTS / "run.py"


def start(out: Path, steps: int, processes: int) -> subprocess.Popen[bytes]:
    """The real command in a process group of its own, with an image tokenizer ready."""
    shutil.copyfile(TOKENIZER, out / TOKENIZER.name)
    command = [sys.executable, str(SCRIPT), "--out", str(out), "--steps", str(steps)]
    command += ["--processes", str(processes), "--rows", "3", "--save-every-s", "0.5"]
    command += ["--play-dialogues", "1"]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, start_new_session=True)


def wait_for(path: Path, seconds: float = 120) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_goes_on(tmp_path: Path, processes: int) -> None:
    running = start(tmp_path, 10**6, processes)
    wait_for(tmp_path / "checkpoint.safetensors")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    killed = Trainer(TrainConfig(out=tmp_path, processes=1), rank=0).progress
    assert killed.step > 0
    assert start(tmp_path, killed.step + 4, processes).wait(timeout=180) == 0
    finished = Trainer(TrainConfig(out=tmp_path, processes=1), rank=0).progress
    assert finished.step == killed.step + 4
    assert finished.plays > 0


def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    running = start(tmp_path, 10**6, 2)
    wait_for(tmp_path / "checkpoint.safetensors")
    running.kill()
    running.wait()
    deadline = time.monotonic() + 60
    while members(running.pid):
        assert time.monotonic() < deadline, f"still running: {members(running.pid)}"
        time.sleep(0.1)


def members(group: int) -> list[int]:
    """Processes of a process group that still run (field 5 of their stat is the group)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(int(stat.parent.name))
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of seconds in this process, with its verifier phase."""
    out = tmp_path_factory.mktemp("run")
    shutil.copyfile(TOKENIZER, out / TOKENIZER.name)
    train(TrainConfig(out=out, processes=1, rows=4, steps=8, play_every_steps=1, play_dialogues=2))
    return out


def test_a_resumed_trainer_is_the_one_that_was_saved(trained: Path) -> None:
    first, second = (Trainer(TrainConfig(out=trained, processes=1, rows=3), rank=0) for _ in range(2))
    for trainer in (first, second):
        trainer.step()
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert first.progress.plays > 0


def test_an_exported_run_is_a_backbone(trained: Path, tmp_path: Path) -> None:
    export(trained, tmp_path / "model")
    command = [sys.executable, str(RUN), f"backbone.folder={tmp_path}/model", "benchmark.num_samples=3"]
    command += [f"output={tmp_path}/run", "tracking=none"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    records = [line.record for line in read_turns(tmp_path / "run")]
    assert {record["outcome"] for record in records} == {"scored"}
    assert all(0 <= record["score"] <= 1 for record in records)


def test_training_learns(tmp_path: Path) -> None:
    def loss(trainer: Trainer) -> float:
        index = range(10**6, 10**6 + 6)
        rows = [
            trees.gold_row(trainer.language, make_dialogue("train", 0, i), Stream("test", i)) for i in index
        ]
        batch = {name: torch.from_numpy(array) for name, array in trees.stack(rows).items()}
        return float(trainer.losses(batch)[1].detach())

    shutil.copyfile(TOKENIZER, tmp_path / TOKENIZER.name)
    trainer = Trainer(TrainConfig(out=tmp_path, processes=1, rows=4), rank=0)
    before = loss(trainer)
    for _ in range(30):
        trainer.step()
    assert loss(trainer) < 0.8 * before


def test_a_branch_of_a_tree_is_seen_as_if_it_stood_alone(trained: Path) -> None:
    """Hidden states of every path through a tree equal those of the plain sequence."""
    trainer = Trainer(TrainConfig(out=trained, processes=1), rank=0)
    row = trees.gold_row(trainer.language, make_dialogue("train", 0, 3), Stream("test", 3))
    batch = {name: torch.from_numpy(array) for name, array in trees.stack([row]).items()}
    mask = tree_mask(batch["segments"], batch["ancestors"])
    with torch.no_grad():
        tree = trainer.model.hidden(batch["ids"], batch["positions"], mask)[0]
    for leaf in range(int(row.segments[row.segments < trees.MAX_SEGMENTS - 1].max()) + 1):
        path = np.flatnonzero(row.ancestors[leaf][row.segments])
        ids, positions = torch.from_numpy(row.ids[path])[None], torch.from_numpy(row.positions[path])[None]
        assert row.positions[path].tolist() == list(range(len(path)))
        causal = torch.full((1, 1, len(path), len(path)), float("-inf")).triu(1)
        with torch.no_grad():
            alone = trainer.model.hidden(ids, positions, causal)[0]
        assert torch.allclose(tree[path], alone, atol=1e-4)


def test_only_marks_are_learned_from_own_pictures(trained: Path) -> None:
    trainer = Trainer(TrainConfig(out=trained, processes=1), rank=0)
    rows = on_policy.play(
        trainer.model.to_llama(), trainer.model.shape, trainer.language, (0, 0, 0), num_dialogues=3
    )
    yes_no = {trainer.language.vocabulary.id_of[word] for word in ("yes", "no")}
    assert rows
    for row in rows:
        assert set(row.targets[row.targets != trees.NO_TARGET].tolist()) <= yes_no


def test_a_fresh_image_tokenizer_is_exact() -> None:
    assert train_image_tokenizer(seed=3, num_dialogues=120).num_codes == len(world.STATES)


def test_muon_has_the_matrices_of_the_layers_and_adamw_all_else(trained: Path) -> None:
    model = Trainer(TrainConfig(out=trained, processes=1), rank=0).model
    optimizers = build_optimizers(model, muon_lr=1, adam_lr=1)
    muon, adamw = ([p for group in each.param_groups for p in group["params"]] for each in optimizers)
    assert len(muon) == 7 * model.shape.num_hidden_layers
    assert {id(p) for p in muon} | {id(p) for p in adamw} == {id(p) for p in model.parameters()}
    assert len(muon) + len(adamw) == len(list(model.parameters()))


def test_a_run_without_a_budget_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="steps"):
        TrainConfig(out=tmp_path, steps=0)
