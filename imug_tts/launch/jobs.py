"""The files of a launch: which job has which runs, and how each job stands.

    STUDY/.submitit/<time>-<pid>/jobs.json         all jobs of the launch, and their numbers in the queue
    STUDY/.submitit/<time>-<pid>/0.arms.json       the configurations of the arms of job 0
    STUDY/.submitit/<time>-<pid>/0.state.json      written by job 0 itself: where it runs, how it ended
    STUDY/.submitit/<time>-<pid>/<id>_0_log.err    its log; submitit's files stand beside

No file is locked, and each has one writer.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from imug_tts.files import write_atomically

__all__ = ["FOLDER", "Ended", "Job", "Jobs", "latest_jobs"]

FOLDER: Final = ".submitit"
Ended = Literal["done", "failed", "stopped", "queued again"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Arms that one process executes."""

    folder: Path
    """Of the launch."""
    number: int
    runs: tuple[str, ...]
    """The folders of its runs, by name."""
    queue: Literal["local", "slurm"]
    id: str = ""
    """Its number in the queue; empty until it is submitted."""
    logs: str = ""
    """The file of its errors and progress."""

    @property
    def arms_file(self) -> Path:
        return self.folder / f"{self.number}.arms.json"

    def configurations(self) -> list[dict[str, Any]]:
        read: list[dict[str, Any]] = json.loads(self.arms_file.read_bytes())
        return read

    def state(self) -> Mapping[str, Any]:
        """What the job last said of itself; empty before its start.

        `host`, `pid`, `starts`, `started` (seconds since 1970), `done_before` (turns), `end` (see Ended; None
        while it runs), `ended`.
        """
        try:
            read: Mapping[str, Any] = json.loads((self.folder / f"{self.number}.state.json").read_bytes())
        except FileNotFoundError:
            return {}
        return read

    def is_alive(self, slurm: Mapping[str, object] | None) -> bool:
        """Whether the job waits or runs.

        Args:
            slurm: the jobs that SLURM knows; None when it does not answer, and then no job is taken for dead.
        """
        if self.queue == "slurm":
            return slurm is None or self.id in slurm
        host = self.state().get("host")
        return host in (None, os.uname().nodename) and _is_controller(self.id)

    def begin(self, done: int) -> None:
        """Say that the job runs here, and how many turns of its runs were done before."""
        before = self.state()
        self._say(
            {
                "host": os.uname().nodename,
                "pid": os.getpid(),
                "starts": before.get("starts", 0) + 1,
                "started": time.time(),
                "done_before": done,
                "end": None,
            }
        )

    def end(self, how: Ended) -> None:
        self._say({**self.state(), "ended": time.time(), "end": how})

    def _say(self, state: Mapping[str, Any]) -> None:
        write_atomically(self.folder / f"{self.number}.state.json", json.dumps(state).encode())


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """The jobs of one launch."""

    folder: Path
    jobs: tuple[Job, ...]

    @classmethod
    def planned(
        cls,
        study: Path,
        queue: Literal["local", "slurm"],
        arms: Sequence[Sequence[tuple[str, Mapping[str, Any]]]],
    ) -> Jobs:
        """Write the files of jobs that are not submitted yet.

        Args:
            arms: for each job, its runs: name of the folder, and whole configuration.

        Raises:
            StorageError: the folder cannot be written.
        """
        folder = (study / FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}").absolute()
        jobs = [
            Job(folder=folder, number=number, runs=tuple(name for name, _ in own), queue=queue)
            for number, own in enumerate(arms)
        ]
        for job, own in zip(jobs, arms, strict=True):
            configurations = [configuration for _, configuration in own]
            write_atomically(job.arms_file, json.dumps(configurations).encode())
        return cls(folder=folder, jobs=tuple(jobs))

    def submitted(self, job: Job, id: str, logs: str) -> Jobs:
        """Keep the number and the log of a job that was submitted."""
        known = replace(job, id=id, logs=logs)
        jobs = tuple(known if each.number == job.number else each for each in self.jobs)
        return Jobs(folder=self.folder, jobs=jobs)

    def keep(self) -> None:
        entries = [
            {"runs": job.runs, "queue": job.queue, "id": job.id, "logs": job.logs} for job in self.jobs
        ]
        write_atomically(self.folder / "jobs.json", json.dumps(entries, indent=1).encode())


def latest_jobs(study: Path) -> dict[str, list[Job]]:
    """For each run of a study that was launched as jobs, those of its last launch: one for each shard."""
    latest: dict[str, list[Job]] = {}
    for folder in sorted((study / FOLDER).glob("*")):
        launched = list(_jobs_in(folder))
        for run in {run for job in launched for run in job.runs}:
            latest[run] = [job for job in launched if run in job.runs]
    return latest


def _jobs_in(folder: Path) -> Iterator[Job]:
    try:
        entries = json.loads((folder / "jobs.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):  # being submitted, or never was
        return
    for number, entry in enumerate(entries):
        entry["runs"] = tuple(entry["runs"])
        yield Job(folder=folder, number=number, **entry)


def _is_controller(pid: str) -> bool:
    """Whether the process is the one by which submitit runs a job on this machine."""
    try:
        command = Path("/proc", pid, "cmdline").read_bytes()
        state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    # A process that begins has no command for a moment; one that has ended has none either, and is a Z.
    return state not in "ZX" and (b"submitit" in command or not command)
