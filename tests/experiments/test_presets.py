"""The studies of conf/experiment/ for users: each composes, is rehearsed, and runs to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments.shell import ROOT, Shell

ARMS = {"scaling_n": 10, "exposure_bias": 8, "judges": 6, "imug_study": 8}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize("preset", ["scaling_n", "exposure_bias", "judges"])
def test_a_preset_is_rehearsed_and_run(shell: Shell, preset: str) -> None:
    chosen = ("-m", f"experiment={preset}", "benchmark.num_samples=2", "tracking=none")
    rehearsed = shell.paint(*chosen, "+dry_run=true")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert rehearsed.stdout.count(" turns; images: ") == ARMS[preset]
    assert shell.calls_made() == []
    done = shell.paint(*chosen)
    assert done.returncode == 0, done.stderr
    assert f"{ARMS[preset]} runs are in runs/{preset}" in done.stdout


def test_the_study_of_imug_bench_is_rehearsed_and_run(shell: Shell) -> None:
    command = [sys.executable, "experiments/write_imug.py", "--out", str(shell.home), "--samples", "4"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    data = f"benchmark.root={shell.home / 'data'}"
    chosen = ("-m", "experiment=imug_study", data, "benchmark.num_samples=2", "tracking=none")
    rehearsed = shell.paint(*chosen, "+dry_run=true")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert rehearsed.stdout.count(" turns; images: ") == ARMS["imug_study"]
    done = shell.paint(*chosen)
    assert f"{ARMS['imug_study']} runs are in runs/imug_study" in done.stdout, done.stderr
    assert "turns are missing" not in done.stderr
