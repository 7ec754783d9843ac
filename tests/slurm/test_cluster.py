"""Studies as jobs of a real SLURM of one node, which slurm/local_cluster.sh starts."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from imug_tts.launch import Job, known_jobs
from tests.experiments.imug_cli import do
from tests.experiments.shell import ROOT, Shell
from tests.launch.studies import (
    gpus_used,
    install_gpu_painter,
    job_states,
    records_of,
    tables_of,
    wait_until,
)
from tests.slurm.disturbances import SCRIPT, ask, cluster_in, disturb, no_job_is_left, restarts_of

TOOLS = ("munged", "slurmctld", "slurmd", "sbatch")
SLURM = "hydra/launcher=submitit_slurm"
MOST_JOBS = 8


def _missing() -> str:
    path = f"{os.environ['PATH']}:/usr/sbin"
    absent = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    if os.getuid() != 0:
        return "the daemons of SLURM need root"
    return f"no SLURM is installed ({', '.join(absent)} missing); see {SCRIPT.name}" if absent else ""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if reason := _missing():
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_MAX_ARRAY", str(MOST_JOBS))
        patch.setenv("SLURM_CPUS", str(MOST_JOBS))
        patch.setenv("SLURM_FAKE_GPUS", "2")
        with cluster_in(tmp_path_factory.mktemp("slurm")):
            yield


@pytest.fixture
def shell(cluster: None, tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.warnings = "default"
    return shell


def test_a_study_through_sbatch_has_the_records_of_one_process(shell: Shell) -> None:
    arms = ("-m", "strategy=direct,best_of_n,cot", "benchmark.num_samples=2", "tracking=none")
    assert shell.run(*arms, "output=alone").returncode == 0
    done = shell.run(*arms, "output=jobs", SLURM, "hydra.launcher.arms_per_job=2")
    assert done.returncode == 0, done.stderr
    assert "3 of 3 runs in jobs are complete" in done.stdout
    assert records_of(shell.home / "jobs") == records_of(shell.home / "alone")


LATE_START = """
import os, pathlib, signal, time

place, is_first = os.environ.get("SLURM_ARRAY_TASK_ID"), "SLURM_RESTART_COUNT" not in os.environ
if "SLURM_STEP_ID" in os.environ and place == "0" and is_first:
    pathlib.Path(__file__).with_name("begins").touch()
    time.sleep(60)
"""
"""The first job of an array hangs at its first start, before Python listens for signals."""
EARLY_DEATH = """
if "SLURM_STEP_ID" in os.environ and place == "1":
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""The second job dies at every start."""


ENDS: Mapping[int, Callable[[Job], object]] = {
    2: lambda job: os.kill(job.state()["pid"], signal.SIGKILL),
    3: lambda job: ask("scancel", "--signal=USR2", job.id),
    4: lambda job: ask("scancel", "--signal=TERM", job.id),
    5: lambda job: ask("scontrol", "requeue", job.id),
    6: lambda job: ask("scancel", job.id),
}
"""What happens to jobs of an array, by their place."""


def _has_begun(job: Job) -> bool:
    return bool(job.state())


def test_jobs_lose_nothing_whatever_ends_them(shell: Shell) -> None:
    """Eight jobs: the fate of each is decided when it has begun."""
    (shell.home / "packages" / "sitecustomize.py").write_text(LATE_START + EARLY_DEATH)
    arms, study = ("-m", "seed=range(0,8)", "tracking=none"), shell.home / "jobs"
    slow = ("in_flight=1", "backbone.seconds=0.4", "output=jobs", SLURM)
    launched = shell.start_painting(*arms, *slow)
    wait_until((shell.home / "packages" / "begins").exists)
    jobs = [job for [job] in known_jobs(study)[0].values()]
    ask("scancel", "--signal=USR2", jobs[0].id)
    for place, end in ENDS.items():
        wait_until(partial(_has_begun, jobs[place]))
        end(jobs[place])
    _, said = launched.communicate()
    assert launched.returncode == 1
    assert f"job {jobs[1].id} never began" in said
    assert "killed 4 times before a turn was added" in Path(jobs[1].logs).read_text()
    assert f"job {jobs[6].id} stopped" in said
    assert [restarts_of(job.id) for job in jobs] == [1, 3, 1, 1, 1, 1, 0, 0]
    assert [job.state().get("starts") for job in jobs] == [1, None, 2, 2, 2, 2, 1, 1]
    assert [job.outcome() for job in jobs].count("done") == 6
    (shell.home / "packages" / "sitecustomize.py").unlink()
    again = shell.paint(*arms, "output=jobs", SLURM)
    assert again.returncode == 0, again.stderr
    assert len(list((study / ".submitit").glob("*/*.arms.json"))) == 8 + 2
    assert shell.paint(*arms, "output=alone").returncode == 0
    assert records_of(study) == records_of(shell.home / "alone")


def test_jobs_are_known_if_the_command_dies_before_it_writes_their_numbers(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real sbatch submits, and the command that called it is killed before it reads the answer."""
    sbatch = shell.home / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@" > /dev/null && kill -KILL $PPID\n')
    sbatch.chmod(0o755)
    waiting = ("-m", "seed=0,1", "output=jobs", SLURM, "hydra.launcher.additional_parameters={hold:true}")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
        assert shell.paint(*waiting).returncode == -signal.SIGKILL
    [array] = {line.split("_")[0] for line in ask("squeue", "-h", "-r", "-o", "%i").splitlines()}
    for place, seed in enumerate(known_jobs(shell.home / "jobs")[0].values()):
        assert [job.id for job in seed] == [f"{array}_{place}"]
    again = shell.paint(*waiting, "hydra.launcher.wait=false")
    assert again.stdout.count(f"is in job {array}_") == 2
    ask("scancel", array)
    wait_until(no_job_is_left)


def test_whatever_happens_to_jobs_the_records_and_tables_are_those_of_one_process(shell: Shell) -> None:
    arms = ("-m", "strategy=direct,cot", "shards=2", "tracking=none")
    slow = ("backbone.seconds=0.4", "in_flight=1", "output=jobs", SLURM)
    study = shell.home / "jobs"
    submitting = shell.start_painting(*arms, *slow)
    wait_until(lambda: len(job_states(study)) >= 2)
    submitting.kill()
    submitting.communicate()
    happened = disturb(study, random.Random(0), times=7)
    assert len(happened) >= 5, happened
    wait_until(no_job_is_left)
    again = shell.paint(*arms, "output=jobs", SLURM)
    assert again.returncode == 0, again.stderr
    assert shell.paint(*arms, "output=alone").returncode == 0
    assert records_of(study) == records_of(shell.home / "alone")
    assert tables_of(study) == tables_of(shell.home / "alone")


def test_each_process_of_a_job_has_a_gpu_of_its_own(shell: Shell) -> None:
    install_gpu_painter(shell)
    arms = ("-m", "backbone=gpu_painter", "seed=0", "in_flight=1", "backbone.seconds=0.1", "tracking=none")
    gpus = ("hydra.launcher.gpus_per_node=2", "hydra.launcher.tasks_per_node=2")
    done = shell.paint(*arms, *gpus, SLURM, "output=jobs")
    assert done.returncode == 0, done.stderr
    assert gpus_used(shell) == {"0", "1"}
    assert [state["end"] for state in job_states(shell.home / "jobs")] == ["done", "done"]
    assert shell.paint(*arms, "output=alone").returncode == 0
    assert records_of(shell.home / "jobs") == records_of(shell.home / "alone")


def test_a_time_limit_shorter_than_the_work_is_no_loss(shell: Shell) -> None:
    arms = ("-m", "seed=0", "tracking=none")
    # SLURM looks every 30 s and warns up to 30 s early: here 10 to 40 s after the job began.
    limits = ("hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=80")
    slow = ("backbone.seconds=1.7", "in_flight=1", "output=jobs", SLURM)
    done = shell.paint(*arms, *slow, *limits)
    assert done.returncode == 0, done.stderr
    [state] = job_states(shell.home / "jobs")
    assert state["starts"] > 1
    assert state["end"] == "done"
    assert shell.paint(*arms, "output=alone").returncode == 0
    assert records_of(shell.home / "jobs") == records_of(shell.home / "alone")


def test_jobs_share_the_scoring_of_a_run(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first job is warned before Python listens, and SLURM begins it again."""
    packages = shell.home / "packages"
    assert shell.paint("tracking=none", "output=answers").returncode == 0
    given = ("benchmark=pocket_world", "benchmark.num_samples=6", "judge=none", "tracking=none")
    outputs = (f"outputs={shell.home / 'answers'}", *given)
    (packages / "sitecustomize.py").write_text(LATE_START)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    options = ("--parsable", "--array=0-1", f"--chdir={ROOT}", f"--output={shell.home}/%a.log")
    together = f"output={shell.home / 'together' / 'scores'}"
    array = ask("sbatch", *options, str(ROOT / "slurm" / "score.sh"), *outputs, together)
    wait_until((packages / "begins").exists)
    ask("scancel", "--signal=TERM", f"{array}_0")
    wait_until(no_job_is_left)
    assert [restarts_of(f"{array}_{place}") for place in (0, 1)] == [1, 0]
    alone = f"output={shell.home / 'alone' / 'scores'}"
    assert do("score.py", *outputs, alone, cwd=shell.home).returncode == 0
    assert records_of(shell.home / "together") == records_of(shell.home / "alone") != {}


def test_a_failure_that_would_only_repeat_is_not_queued_again(shell: Shell) -> None:
    done = shell.paint("-m", "seed=0", "backbone.broken=move", "output=jobs", "tracking=none", SLURM)
    assert done.returncode == 1
    assert "turns missing; job" in done.stderr
    assert [(s["starts"], s["end"]) for s in job_states(shell.home / "jobs")] == [(1, "failed")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seed=range(0,20)"], ["makes 20 jobs", "hydra.launcher.arms_per_job=3"]),
        (["seed=0,1", "hydra.launcher.partition=gpu"], ["were not submitted", "partition"]),
    ],
)
def test_what_slurm_would_refuse_is_said_before_any_job_begins(
    shell: Shell, arguments: list[str], words: list[str]
) -> None:
    done = shell.paint("-m", *arguments, SLURM, "output=jobs")
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not ask("squeue", "--noheader")
