"""What happens to jobs on a real cluster: queued again, warned, ended, killed, and their node dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from imug_tts.launch import Job, known_jobs, slurm_jobs
from tests.experiments.shell import ROOT

__all__ = ["SCRIPT", "ask", "disturb", "no_job_is_left", "restarts_of"]

SCRIPT = ROOT / "slurm" / "local_cluster.sh"


ASK_AT_MOST_S = 20


def ask(*command: str) -> str:
    """What a command of SLURM prints.

    Raises:
        TimeoutExpired: the command has not ended after 20 s, and is killed.
    """
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=ASK_AT_MOST_S
    ).stdout.strip()


def _tell(*command: str) -> None:
    """Tell SLURM something that may come too late: scancel repeats its try while a job is just ending."""
    with suppress(subprocess.TimeoutExpired):
        ask(*command)


def no_job_is_left() -> bool:
    return not ask("squeue", "--noheader")


def restarts_of(job: str) -> int:
    """How often SLURM has queued a job again."""
    return int(ask("scontrol", "show", "job", job).partition("Restarts=")[2].split()[0])


def _restart_the_node() -> None:
    """Kill the daemon of the node, whose jobs go on, and start it again."""
    folder = Path(os.environ["SLURM_CONF"]).parent
    os.kill(int((folder / "slurmd.pid").read_text()), signal.SIGKILL)
    subprocess.run([SCRIPT, "up", folder], check=True, capture_output=True)


def disturb(study: Path, moment: random.Random, times: int) -> Counter[str]:
    """Disturb random jobs at work, each way in turn, so many times or until none is left; says how often."""
    happened: Counter[str] = Counter()
    while happened.total() < times and not no_job_is_left():
        jobs = _at_work(study)
        if jobs:
            way = list(_WAYS)[happened.total() % len(_WAYS)]
            _WAYS[way](moment.choice(jobs))
            happened[way] += 1
        time.sleep(moment.uniform(0.1, 0.6))
    return happened


def _at_work(study: Path) -> list[Job]:
    """The jobs that run and have begun with their arms, each once."""
    running = {number for number, job in (slurm_jobs() or {}).items() if job.state == "RUNNING"}
    known = {job.id: job for own in known_jobs(study)[0].values() for job in own if job.id in running}
    return [job for job in known.values() if (state := job.state()) and state["end"] is None]


def _kill(job: Job) -> None:
    with suppress(ProcessLookupError):
        os.kill(job.state()["pid"], signal.SIGKILL)


_WAYS: Mapping[str, Callable[[Job], object]] = {
    "queued again": lambda job: _tell("scontrol", "requeue", job.id),
    "warned": lambda job: _tell("scancel", "--signal=USR2", job.id),
    "told to end": lambda job: _tell("scancel", "--signal=TERM", job.id),
    "killed": _kill,
    "without a node": lambda job: _restart_the_node(),
}
