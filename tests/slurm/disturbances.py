"""What happens to jobs on a real cluster: queued again, warned, ended, killed, and their node dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from imug_tts.launch import Job, known_jobs, slurm_jobs
from tests.experiments.shell import ROOT

__all__ = ["SCRIPT", "WAYS", "ask", "cluster_in", "disturb", "no_job_is_left", "restarts_of"]

SCRIPT = ROOT / "slurm" / "local_cluster.sh"
ASK_AT_MOST_S = 20


@contextmanager
def cluster_in(folder: Path) -> Iterator[None]:
    """A SLURM of one node, which the environment names while it is up."""
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        subprocess.run([SCRIPT, "up", folder], check=True, capture_output=True)
        yield
    finally:
        subprocess.run([SCRIPT, "down", folder], check=True, capture_output=True)
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def ask(*command: str) -> str:
    """What a command of SLURM prints.

    Raises:
        TimeoutExpired: the command has not ended after 20 s, and is killed.
    """
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=ASK_AT_MOST_S
    ).stdout.strip()


def no_job_is_left() -> bool:
    return not ask("squeue", "--noheader")


def restarts_of(job: str) -> int:
    """How often SLURM has queued a job again."""
    return int(ask("scontrol", "show", "job", job).partition("Restarts=")[2].split()[0])


def disturb(study: Path, moment: random.Random, times: int) -> Counter[str]:
    """Disturb random jobs, each way in turn, until so many disturbances have hit or no job is left.

    A disturbance that is to queue a job again has hit when SLURM has done so: one that comes when its job is
    just ending does not count. Returns the hits of each way.
    """
    storm = _Storm(study)
    while storm.hits.total() < times and not no_job_is_left():
        storm.look()
        storm.disturb(moment)
        time.sleep(moment.uniform(0.1, 0.6))
    storm.look()
    return storm.hits


def _tell(*command: str) -> None:
    """Tell SLURM something that may come too late: scancel repeats its try while a job is just ending."""
    with suppress(subprocess.TimeoutExpired):
        ask(*command)


def _kill(job: Job) -> None:
    with suppress(ProcessLookupError):
        os.kill(job.state()["pid"], signal.SIGKILL)


def _restart_the_node(job: Job) -> None:
    """Kill the daemon of the node, whose jobs go on, and start it again."""
    del job
    folder = Path(os.environ["SLURM_CONF"]).parent
    os.kill(int((folder / "slurmd.pid").read_text()), signal.SIGKILL)
    subprocess.run([SCRIPT, "up", folder], check=True, capture_output=True)


class _Way(NamedTuple):
    do: Callable[[Job], None]
    at_work: bool = True
    """Whether it is for jobs at their arms, or for those of which Python does not listen yet."""
    queues_again: bool = True


WAYS: Mapping[str, _Way] = {
    "queued again": _Way(lambda job: _tell("scontrol", "requeue", job.id)),
    "warned": _Way(lambda job: _tell("scancel", "--signal=USR2", job.id)),
    "told to end": _Way(lambda job: _tell("scancel", "--signal=TERM", job.id)),
    "killed": _Way(_kill),
    "without a node": _Way(_restart_the_node, queues_again=False),
    "warned too early": _Way(lambda job: _tell("scancel", "--signal=USR2", job.id), at_work=False),
}


@dataclass
class _Storm:
    study: Path
    hits: Counter[str] = field(default_factory=Counter)
    tried: int = 0
    pending: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Jobs that were disturbed and not queued again yet: the way, and SLURM's count before."""

    def disturb(self, moment: random.Random) -> None:
        """Disturb one job that has no disturbance pending, if there is one for the next way."""
        name = list(WAYS)[self.tried % len(WAYS)]
        way = WAYS[name]
        self.tried += 1
        jobs = [job for job in _running(self.study, way.at_work) if job.id not in self.pending]
        if not jobs:
            return
        job = moment.choice(jobs)
        if way.queues_again:
            self.pending[job.id] = (name, restarts_of(job.id))
        else:
            self.hits[name] += 1
        way.do(job)

    def look(self) -> None:
        """Count the disturbances that have hit; forget those of jobs that ended instead."""
        known = slurm_jobs() or {}
        for id, (name, before) in list(self.pending.items()):
            if restarts_of(id) > before:
                self.hits[name] += 1
            elif id in known:
                continue
            del self.pending[id]


def _running(study: Path, at_work: bool) -> list[Job]:
    """The jobs that run, and have or have not begun with their arms; each once."""
    jobs, known = known_jobs(study)
    own = {job.id: job for each in jobs.values() for job in each}
    running = [own[id] for id, job in (known or {}).items() if id in own and job.state == "RUNNING"]
    return [job for job in running if _is_at_work(job) == at_work]


def _is_at_work(job: Job) -> bool:
    state = job.state()
    return bool(state) and state["end"] is None and Path("/proc", str(state["pid"])).exists()
