"""The command that checks a data folder, from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imug_tts.benchmarks.imug.synthetic import synthetic_samples
from imug_tts.benchmarks.imug.writing import write_data
from tests.benchmarks.imug_files import as_hub_snapshot, edit, write_small

ROOT = Path(__file__).parents[2]


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "experiments/check_data.py", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)


def test_what_is_in_order_is_counted(tmp_path: Path) -> None:
    data = write_small(tmp_path)
    done = check(f"benchmark.root={tmp_path}", "decode=true")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.startswith("3 samples, 7 turns, 3 domains, 3 tasks\n")
    assert ["static_spatial", "2", "5", "2", "3"] in lines
    assert ["Botany", "1", "2", "1", "1"] in lines
    assert ["2", "3", "3", "2", "1"] in lines
    assert "dynamic questions: 1 (1 at turn 2)" in done.stdout
    assert "input images: 2" in done.stdout
    assert "image turns judged beside references: 2 (3 references)" in done.stdout
    assert "samples with grid truth: 1 (1 turns)" in done.stdout
    assert f"{data} is valid" in done.stdout


def test_a_part_is_counted_by_itself(tmp_path: Path) -> None:
    write_data(tmp_path, synthetic_samples(97, image_size=8))
    done = check(f"benchmark.root={tmp_path}", "benchmark.domains=[Weather]")
    assert done.returncode == 0
    assert ", 1 domains, 5 tasks" in done.stdout


def test_what_is_wrong_is_listed(tmp_path: Path) -> None:
    data = write_small(tmp_path)
    edit(data / "benchmark.jsonl", 1, lambda record: record["tasks"][1].update(turn=7))
    edit(data / "benchmark.jsonl", 3, lambda record: record.pop("domain"))
    done = check(f"benchmark.root={tmp_path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{data} has 2 problems" in done.stderr
    assert "benchmark.jsonl, line 1, tasks[1].turn: is 7" in done.stderr
    assert "benchmark.jsonl, line 3, domain: is missing" in done.stderr


def test_images_are_opened_when_asked_to(tmp_path: Path) -> None:
    data = write_small(tmp_path)
    image = sorted((data / "images").iterdir())[0]
    image.write_bytes(image.read_bytes()[:45])
    assert check(f"benchmark.root={tmp_path}").returncode == 0
    done = check(f"benchmark.root={tmp_path}", "decode=true")
    assert done.returncode == 2
    assert "1 problem" in done.stderr
    assert f"{image}: it cannot be decoded" in done.stderr


def test_help() -> None:
    done = check("--help")
    assert done.returncode == 0
    assert "benchmark.root=DIR" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["benchmark.root=/no/such/folder"], "no benchmark.jsonl in /no/such/folder"),
        (["benchmark.rot=/x"], "did you mean root?"),
        (["benchmark=pocket_world"], "choose benchmark=imug"),
        (["benchmark.repo=no/such/data/set"], "cannot be downloaded from the Hugging Face hub"),
    ],
)
def test_what_cannot_work_is_said(arguments: list[str], words: str) -> None:
    done = check(*arguments, HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_cache_of_the_hub_is_read_without_a_network(tmp_path: Path) -> None:
    as_hub_snapshot(write_small(tmp_path), tmp_path / "hub")
    done = check(HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(tmp_path / "hub"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 samples")
    missing = check(HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(tmp_path / "empty"))
    assert missing.returncode == 2
    assert "hf download ccccEsion/IMUG-Bench --repo-type dataset --local-dir DIR" in missing.stderr
    assert "benchmark.root=DIR" in missing.stderr
