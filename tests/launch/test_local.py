"""Studies whose arms are jobs on this machine, and requests that are refused before any job begins."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments.shell import ROOT, Shell
from tests.launch.studies import gpus_used, install_gpu_painter, job_states, records_of, wait_until

LOCAL = "hydra/launcher=submitit_local"
ARMS = ("-m", "strategy=direct,best_of_n,cot", "tracking=none")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.warnings = "default"  # those of submitit are not ours
    return shell


def status(shell: Shell, study: str) -> str:
    command = [sys.executable, str(ROOT / "experiments" / "status.py"), study]
    return subprocess.run(command, cwd=shell.home, capture_output=True, text=True, check=True).stdout


def test_jobs_make_the_records_of_one_process(shell: Shell) -> None:
    assert shell.paint(*ARMS, "output=alone").returncode == 0
    done = shell.paint(*ARMS, "output=jobs", LOCAL, "hydra.launcher.arms_per_job=2")
    assert done.returncode == 0, done.stderr
    assert "3 of 3 runs in jobs are complete" in done.stdout
    assert records_of(shell.home / "jobs") == records_of(shell.home / "alone")
    assert [state["end"] for state in job_states(shell.home / "jobs")] == ["done", "done"]
    assert status(shell, "jobs").count("done") == 1 + 3  # the head, and each arm


def test_shards_of_arms_are_jobs_too(shell: Shell) -> None:
    arms = ("-m", "seed=0,1", "tracking=none")
    assert shell.paint(*arms, "output=alone").returncode == 0
    done = shell.paint(*arms, "output=jobs", LOCAL, "shards=2", "hydra.launcher.arms_per_job=2")
    assert done.returncode == 0, done.stderr
    assert len(job_states(shell.home / "jobs")) == 2
    assert records_of(shell.home / "jobs") == records_of(shell.home / "alone")
    assert "2 x done" in status(shell, "jobs")


def test_a_job_of_two_processes_plays_two_shards_each_on_a_gpu_of_its_own(shell: Shell) -> None:
    install_gpu_painter(shell)
    arms = ("-m", "backbone=gpu_painter", "seed=0,1", "tracking=none")
    each = ("in_flight=1", "backbone.seconds=0.05", "hydra.launcher.arms_per_job=2")
    gpus = ("hydra.launcher.gpus_per_node=2", "hydra.launcher.tasks_per_node=2")
    done = shell.paint(*arms, *each, *gpus, LOCAL, "output=jobs")
    assert done.returncode == 0, done.stderr
    states = job_states(shell.home / "jobs")
    assert [state["end"] for state in states] == ["done", "done"]
    assert len({state["pid"] for state in states}) == 2
    assert gpus_used(shell) == {"0", "1"}
    assert shell.paint(*arms, "output=alone").returncode == 0
    assert records_of(shell.home / "jobs") == records_of(shell.home / "alone")


def test_the_first_process_of_a_warned_job_waits_for_the_others_and_queues_it_again(shell: Shell) -> None:
    slow = ("-m", "seed=0", "in_flight=1", "tracking=none", "backbone.seconds=0.2", "output=jobs", LOCAL)
    process = shell.start_painting(*slow, "hydra.launcher.tasks_per_node=2")
    wait_until(lambda: len(set(shell.calls_made())) == 2)
    for state in job_states(shell.home / "jobs"):
        os.kill(state["pid"], signal.SIGUSR2)
    _, said = process.communicate()
    assert process.returncode == 0, said
    states = job_states(shell.home / "jobs")
    assert [(state["starts"], state["end"]) for state in states] == [(2, "done")] * 2
    assert shell.paint("-m", "seed=0", "tracking=none", "output=alone").returncode == 0
    assert records_of(shell.home / "jobs") == records_of(shell.home / "alone")


def test_a_process_of_a_job_that_dies_is_told_and_lost_by_nobody(shell: Shell) -> None:
    slow = ("-m", "seed=0", "in_flight=1", "tracking=none", "backbone.seconds=0.2", "output=jobs", LOCAL)
    process = shell.start_painting(*slow, "hydra.launcher.tasks_per_node=2")
    wait_until(lambda: len(set(shell.calls_made())) == 2)
    os.kill(job_states(shell.home / "jobs")[0]["pid"], signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "died; log:" in status(shell, "jobs")
    assert shell.paint("-m", "seed=0", "tracking=none", "output=alone").returncode == 0
    assert records_of(shell.home / "jobs") == records_of(shell.home / "alone")


def test_the_same_command_again_starts_no_job(shell: Shell) -> None:
    for _ in range(2):
        assert shell.paint("-m", "seed=0,1", "output=jobs", LOCAL, "tracking=none").returncode == 0
    assert len(list((shell.home / "jobs" / ".submitit").iterdir())) == 1


def test_a_launcher_that_a_preset_chooses_takes_effect(shell: Shell) -> None:
    preset = shell.home / "presets" / "experiment" / "mine.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text(
        "# @package _global_\n"
        "defaults:\n"
        "  - override /hydra/launcher: submitit_local\n"
        "output: jobs\n"
        "hydra:\n"
        "  launcher:\n"
        "    arms_per_job: 2\n"
        "  sweeper:\n"
        "    params:\n"
        "      seed: 0,1\n"
    )
    search = f"hydra.searchpath=[{preset.parents[1]}]"
    done = shell.paint("-m", "experiment=mine", search, "tracking=none")
    assert done.returncode == 0, done.stderr
    assert len(job_states(shell.home / "jobs")) == 1
    assert len(records_of(shell.home / "jobs")) == 2


def test_a_failed_arm_is_listed_with_its_log_and_stops_no_other(shell: Shell) -> None:
    seeds = "seed=0,1"
    (shell.home / "jobs").mkdir()
    assert shell.paint("-m", seeds, "output=jobs", "tracking=none").returncode == 0
    broken = next((shell.home / "jobs").glob("direct-*/manifest.json")).parent
    shutil.rmtree(broken / "images")
    (broken / "images").write_text("no folder")
    (broken / "turns.jsonl").unlink()
    for path in (shell.home / "jobs").glob("direct-*/turns.jsonl"):
        path.unlink()
    done = shell.paint("-m", seeds, "output=jobs", LOCAL, "tracking=none")
    assert done.returncode == 1
    assert "1 of 2 runs in jobs are complete" in done.stdout
    assert "turns missing" in done.stderr
    log = Path(done.stderr.rpartition("log: ")[2].split("\n")[0])
    assert str(broken.name) in log.read_text()


def test_a_warned_job_stops_and_goes_on(shell: Shell) -> None:
    slow = ("-m", "seed=0", "in_flight=1", "tracking=none", "output=jobs", LOCAL, "backbone.seconds=0.1")
    process = shell.start_painting(*slow)
    wait_until(lambda: len(shell.calls_made()) > 3)
    [state] = job_states(shell.home / "jobs")
    os.kill(state["pid"], signal.SIGUSR2)
    _, said = process.communicate()
    assert process.returncode == 0, said
    [state] = job_states(shell.home / "jobs")
    assert (state["starts"], state["end"]) == (2, "done")
    assert shell.paint("-m", "seed=0", "tracking=none", "output=alone").returncode == 0
    assert records_of(shell.home / "jobs") == records_of(shell.home / "alone")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hydra.launcher.arms_per_job=0"], ["hydra.launcher: arms_per_job is 0", "1 or more"]),
        (["hydra.launcher.partition=gpu"], ["hydra.launcher has no knob 'partition'"]),
        (["hydra.launcher.wait=false"], ["starts all 3 jobs at once", "raise it"]),
        (["hydra.launcher.timeout_min=1"], ["signal_delay_s is 120", "set it below 60"]),
        (["hydra.launcher.gpus_per_node=1"], ["no model of direct", "on one (painter)", "leave it out"]),
        (
            ["backbone=gpu_painter", "backbone.device_map=cpu", "hydra.launcher.gpus_per_node=1"],
            ["no model of direct", "on one (gpu_painter)"],
        ),
        (
            ["backbone=gpu_painter", "hydra.launcher.gpus_per_node=2", "hydra.launcher.tasks_per_node=4"],
            ["gpus_per_node=2 is not a multiple", "choose tasks_per_node=2"],
        ),
        (["shards=3", "hydra.launcher.tasks_per_node=2"], ["shards=3 is not a multiple", "choose shards=4"]),
        (
            ["shards=2", "shard=1", "hydra.launcher.tasks_per_node=2"],
            ["shard=1 names one process", "leave shard out"],
        ),
        (["shards=0"], ["shards is 0; it must be 1 or more"]),
    ],
)
def test_what_cannot_be_launched_is_one_clear_message(
    shell: Shell, arguments: list[str], words: list[str]
) -> None:
    install_gpu_painter(shell)
    done = shell.paint("-m", "seed=0,1,2", LOCAL, "output=jobs", *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not (shell.home / "jobs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hydra.launcher.gpus_per_node=1"], "no model of direct"),
        (["hydra.launcher.wait=false"], "starts all 3 jobs at once"),
        (["hydra.launcher.timeout_min=1"], "signal_delay_s is 120"),
    ],
)
def test_a_dry_run_refuses_what_cannot_be_launched(shell: Shell, arguments: list[str], words: str) -> None:
    done = shell.paint("-m", "seed=0,1,2", LOCAL, "output=jobs", "+dry_run=true", *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert not (shell.home / "jobs").exists()


def test_a_dry_run_says_how_many_jobs_there_would_be_and_starts_none(shell: Shell) -> None:
    arms = ("-m", "seed=0,1,2", "shards=2", "hydra.launcher.arms_per_job=2")
    done = shell.paint(*arms, LOCAL, "output=jobs", "+dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "4 jobs would be submitted" in done.stdout
    assert not (shell.home / "jobs").exists()


def _have_slurm(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have commands of SLURM: a dry run looks for them, and does not submit."""
    for name in ("sbatch", "srun"):
        tool = shell.home / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text("#!/bin/sh\nexit 1\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shell.home / 'bin'}:{os.environ['PATH']}")


@pytest.mark.parametrize(("launcher", "is_warned"), [("submitit_slurm", True), ("submitit_local", False)])
def test_jobs_of_slurm_are_warned_of_a_study_on_a_disk_that_other_nodes_do_not_see(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, launcher: str, is_warned: bool
) -> None:
    _have_slurm(shell, monkeypatch)
    study = f"/dev/shm/{shell.home.name}/study"  # memory of this machine
    done = shell.paint("-m", "seed=0,1", f"hydra/launcher={launcher}", f"output={study}", "+dry_run=true")
    assert done.returncode == 0, done.stderr
    warning = f"{study} is on a disk of this machine (tmpfs); jobs on other nodes cannot see it"
    assert (warning in done.stderr) == is_warned
    assert ("output=DIR" in done.stderr) == is_warned


def test_one_run_is_not_launched(shell: Shell) -> None:
    done = shell.paint(LOCAL)
    assert done.returncode == 2
    assert "add -m" in done.stderr


def test_a_machine_without_slurm_is_told_where_to_submit(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(shell.home))
    done = shell.paint("-m", "seed=0,1", "hydra/launcher=submitit_slurm", "output=jobs")
    assert done.returncode == 2
    assert "login node" in done.stderr
    assert "submitit_local" in done.stderr


def test_without_submitit_the_line_of_pip_is_said(shell: Shell) -> None:
    (shell.home / "packages" / "submitit.py").write_text("raise ImportError('not here')\n")
    done = shell.paint("-m", "seed=0,1", LOCAL, "output=jobs")
    assert done.returncode == 2
    assert "pip install 'imug_tts[slurm]'" in done.stderr


def test_a_folder_without_a_study_has_no_status(shell: Shell) -> None:
    command = [sys.executable, str(ROOT / "experiments" / "status.py"), str(shell.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no study in" in done.stderr
