"""The files of a launch: which job has which runs, and how each job stands.

    STUDY/.submitit/<time>-<pid>/jobs.json         all jobs of the launch, and their numbers in the queue
    STUDY/.submitit/<time>-<pid>/0.arms.json       the configurations of the arms of job 0
    STUDY/.submitit/<time>-<pid>/0.state.json      written by job 0 itself: where it runs, how it ended
    STUDY/.submitit/<time>-<pid>/0.1.state.json    the same of its second process
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
    """Arms that one process executes, or several processes of one node, each a shard of the arms."""

    folder: Path
    """Of the launch."""
    number: int
    runs: tuple[str, ...]
    """The folders of its runs, by name."""
    queue: Literal["local", "slurm"]
    id: str = ""
    """Its number in the queue; empty until it is submitted."""
    logs: str = ""
    """The file of its errors and progress; with several processes, a pattern of the shell."""
    tasks: int = 1
    """Its processes."""
    task: int = 0
    """The process that is meant. The first one alone can queue the job again."""

    @property
    def arms_file(self) -> Path:
        return self.folder / f"{self.number}.arms.json"

    def configurations(self) -> list[dict[str, Any]]:
        read: list[dict[str, Any]] = json.loads(self.arms_file.read_bytes())
        return read

    def state(self) -> Mapping[str, Any]:
        """What the process last said of itself; empty before its start.

        `host`, `pid`, `starts`, `started` (seconds since 1970), `done_before` (turns), `end` (see Ended; None
        while it runs), `ended`.
        """
        try:
            read: Mapping[str, Any] = json.loads(self._state_file.read_bytes())
        except FileNotFoundError:
            return {}
        return read

    def processes(self) -> list[Job]:
        """The job as each of its processes."""
        return [replace(self, task=task) for task in range(self.tasks)]

    def outcome(self) -> str:
        """How a job that is no longer alive ended: "done" if all its processes did all that they could."""
        states = [process.state() for process in self.processes()]
        ends = [str(state["end"] or "died") if state else "never began" for state in states]
        return next((end for end in ends if end != "done"), "done")

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

    @property
    def _state_file(self) -> Path:
        return self.folder / f"{self.number}{f'.{self.task}' if self.task else ''}.state.json"

    def _say(self, state: Mapping[str, Any]) -> None:
        write_atomically(self._state_file, json.dumps(state).encode())


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
        tasks: int = 1,
    ) -> Jobs:
        """Write the files of jobs that are not submitted yet.

        Args:
            arms: for each job, its runs: name of the folder, and whole configuration.
            tasks: processes of each job.

        Raises:
            StorageError: the folder cannot be written.
        """
        folder = (study / FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}").absolute()
        jobs = [
            Job(folder=folder, number=number, runs=tuple(name for name, _ in own), queue=queue, tasks=tasks)
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
        kept = ("runs", "queue", "id", "logs", "tasks")
        entries = [{key: getattr(job, key) for key in kept} for job in self.jobs]
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
