"""The files of a launch: the runs of each job, and the state of each job.

    STUDY/.submitit/<time>-<pid>/jobs.json         all jobs of the launch; after submission, their job ids too
    STUDY/.submitit/<time>-<pid>/0.arms.json       the configurations of the arms of job 0
    STUDY/.submitit/<time>-<pid>/0.state.json      written by job 0 itself: where it runs, how it ended
    STUDY/.submitit/<time>-<pid>/0.1.state.json    the state of its second process
    STUDY/.submitit/<time>-<pid>/0.killed.json     written by the job's script when a process was killed
    STUDY/.submitit/<time>-<pid>/<id>_0_log.err    its log; submitit's files are in the same folder

No file is locked, and each has one writer. If the submitting process dies before it writes the job ids, a job
is found in SLURM by the folder of its script, or by the id in its own state file.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from imug_tts.files import write_atomically
from imug_tts.launch.slurm import SlurmJob, slurm_jobs

__all__ = ["FOLDER", "Ended", "Job", "Jobs", "known_jobs", "read_jobs"]

FOLDER: Final = ".submitit"
Ended = Literal["done", "failed", "stopped", "queued again"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that executes arms in one process, or in several processes of one node as shards."""

    folder: Path
    """The folder of the launch."""
    number: int
    runs: tuple[str, ...]
    """The names of its runs' folders."""
    queue: Literal["local", "slurm"]
    id: str = ""
    """Its job id in the queue; empty while unknown."""
    log_pattern: str = ""
    """Pattern of its log files with errors and progress; %j stands for the job id."""
    tasks: int = 1
    """Number of its processes."""
    task: int = 0
    """Index of the process that this object denotes. Only process 0 can requeue the job."""

    @property
    def arms_file(self) -> Path:
        return self.folder / f"{self.number}.arms.json"

    @property
    def logs(self) -> str:
        """The log file with errors and progress; with several processes, a shell pattern of log files."""
        return self.log_pattern.replace("%j", self.id)

    def configurations(self) -> list[dict[str, Any]]:
        read: list[dict[str, Any]] = json.loads(self.arms_file.read_bytes())
        return read

    def state(self) -> Mapping[str, Any]:
        """Return the last state that the process wrote; empty before it starts.

        Keys: `id`, `host`, `pid`, `starts`, `started` (seconds since 1970), `done_before` (turns), `end` (see
        Ended; None while it runs), `ended`.
        """
        try:
            read: Mapping[str, Any] = json.loads(self._state_file.read_bytes())
        except FileNotFoundError:
            return {}
        return read

    def processes(self) -> list[Job]:
        """Return this job once for each of its processes."""
        return [replace(self, task=task) for task in range(self.tasks)]

    def outcome(self) -> str:
        """Return how a job that is no longer alive ended; "done" if all its processes ended as "done"."""
        states = [process.state() for process in self.processes()]
        ends = [str(state["end"] or "died") if state else "never began" for state in states]
        return next((end for end in ends if end != "done"), "done")

    def is_alive(self, slurm: Mapping[str, SlurmJob] | None) -> bool:
        """Return whether the job is waiting or running.

        Args:
            slurm: the jobs that SLURM lists; None if SLURM does not respond, and then every job counts as
                alive.
        """
        if self.queue == "slurm":
            return slurm is None or self.id in slurm
        host = self.state().get("host")
        return bool(self.id) and host in (None, os.uname().nodename) and _is_controller(self.id)

    def begin(self, id: str, done: int) -> None:
        """Write the state of a starting process, with the number of turns that were done before."""
        before = self.state()
        self._say(
            {
                "id": id,
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

    def killed(self, done: int) -> int:
        """Store that a process of the job was killed.

        Args:
            done: how many turns of its runs are done.

        Returns:
            How often a process was killed since a turn was added, this time included.
        """
        try:
            before = json.loads(self._killed_file.read_bytes())
        except FileNotFoundError:
            before = {"done": done, "times": 0}
        times = int(before["times"]) + 1 if before["done"] == done else 1
        write_atomically(self._killed_file, json.dumps({"done": done, "times": times}).encode())
        return times

    def found(self, slurm: Mapping[str, SlurmJob] | None) -> Job:
        """Return the job with its id, if SLURM lists it or the job has written it."""
        if self.id or self.queue != "slurm":
            return self
        folder = Path(self.log_pattern).parent
        waiting = (
            number
            for number, job in (slurm or {}).items()
            if Path(job.script).parent == folder and _place(number) == self.number
        )
        return replace(self, id=self.state().get("id") or next(waiting, ""))

    @property
    def _state_file(self) -> Path:
        return self.folder / f"{self.number}{f'.{self.task}' if self.task else ''}.state.json"

    @property
    def _killed_file(self) -> Path:
        return self.folder / f"{self.number}.killed.json"

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
        *,
        tasks: int = 1,
        submitit_folder: str | None = None,
        log: str = "log.err",
    ) -> Jobs:
        """Write the files of jobs that are not submitted yet; return the jobs.

        Args:
            arms: for each job, its runs: name of the folder, and whole configuration.
            tasks: processes of each job.
            submitit_folder: folder of submitit's scripts and logs of all launches; None for the launch's
                folder.
            log: suffix of the name of a log with errors.

        Raises:
            StorageError: the folder cannot be written.
        """
        folder = (study / FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}").absolute()
        scripts = Path(submitit_folder).absolute() / folder.name if submitit_folder else folder
        jobs = [
            Job(
                folder=folder,
                number=number,
                runs=tuple(name for name, _ in own),
                queue=queue,
                log_pattern=f"{scripts}/%j_{'*' if tasks > 1 else 0}_{log}",
                tasks=tasks,
            )
            for number, own in enumerate(arms)
        ]
        for job, own in zip(jobs, arms, strict=True):
            configurations = [configuration for _, configuration in own]
            write_atomically(job.arms_file, json.dumps(configurations).encode())
        planned = cls(folder=folder, jobs=tuple(jobs))
        planned.keep()
        return planned

    @property
    def scripts(self) -> Path:
        """The folder of submitit's scripts and logs of these jobs."""
        return Path(self.jobs[0].log_pattern).parent

    def submitted(self, job: Job, id: str) -> Jobs:
        """Return these jobs with the id of one that was submitted."""
        known = replace(job, id=id)
        jobs = tuple(known if each.number == job.number else each for each in self.jobs)
        return Jobs(folder=self.folder, jobs=jobs)

    def keep(self) -> None:
        kept = ("runs", "queue", "id", "log_pattern", "tasks")
        entries = [{key: getattr(job, key) for key in kept} for job in self.jobs]
        write_atomically(self.folder / "jobs.json", json.dumps(entries, indent=1).encode())


def known_jobs(study: Path) -> tuple[dict[str, list[Job]], Mapping[str, SlurmJob] | None]:
    """Return the jobs of each run's last launch, one per shard, and the user's jobs that SLURM lists.

    SLURM is queried only if a job was submitted to it; its jobs are None if it does not respond.
    """
    latest: dict[str, list[Job]] = {}
    for folder in sorted((study / FOLDER).glob("*")):
        launched = read_jobs(folder)
        for run in dict.fromkeys(run for job in launched for run in job.runs):
            latest[run] = [job for job in launched if run in job.runs]
    is_in_slurm = any(job.queue == "slurm" for jobs in latest.values() for job in jobs)
    slurm = slurm_jobs() if is_in_slurm else {}
    return {run: [job.found(slurm) for job in jobs] for run, jobs in latest.items()}, slurm


def read_jobs(folder: Path) -> list[Job]:
    """Return the jobs of the launch with this folder; none if it was killed while it planned them."""
    try:
        entries = json.loads((folder / "jobs.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return []
    for entry in entries:
        entry["runs"] = tuple(entry["runs"])
    return [Job(folder=folder, number=number, **entry) for number, entry in enumerate(entries)]


def _place(number: str) -> int:
    """Return the index of a SLURM job in its array; 0 for a job outside of any array."""
    return int(number.partition("_")[2] or 0)


def _is_controller(pid: str) -> bool:
    """Return whether the process is submitit's controller of a job on this machine."""
    try:
        command = Path("/proc", pid, "cmdline").read_bytes()
        state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    # A starting process has no command line for a moment; an ended one has none either, and is in state Z.
    return state not in "ZX" and (b"submitit" in command or not command)
