"""Claims of worker processes on parts of a run, so that any number of processes can share one run.

Workers may be on one machine or on several that share a disk. All state is in files below `turns/` in the
run's folder; each file appears whole or not at all:

    <worker>.worker               a working process; its modification time is renewed every few seconds
    <worker>.left                 the same process while it only merges records
    <what>.<generation>.claim     names the worker that owns a part of the run
    <worker>.jsonl                the records that this worker wrote (see `imug_tts.records`)

The newest generation of a claim counts. To take over the claim of a dead worker, a process creates the next
generation, a file that only one process can create. A claim of a living worker is never renamed or removed.
There are no file locks, so Lustre and NFS work. A worker on this machine is dead when its process has ended;
a worker on another machine is dead when it has not renewed its file for three minutes.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imug_tts.files import storage_errors, unfinished, write_atomically
from imug_tts.records import SEGMENTS, segment_path

__all__ = ["MERGE", "STALE_S", "Worker", "WorkerState", "workers"]

MERGE: Final = "merge"
"""The claim on merging the records; a worker may own it after it has released all parts of the run."""

STALE_S: Final = 180.0
"""Seconds without renewal after which a worker on another machine is dead.

Network file systems may show a modification time that is a minute old."""
_BEAT_S: Final = 15.0
_WORKER, _LEFT, _CLAIM = ".worker", ".left", ".claim"


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """The state of a process that works on a run, read from its file."""

    name: str
    host: str
    pid: int
    about: Mapping[str, Any]
    """Published by the process: `since` (seconds since 1970), `shard`, `shards`, `job`."""
    seen: float
    """When the process last renewed its file, in seconds since 1970 by the clock of the disk."""
    is_alive: bool
    segment: Path
    """The file of its records; it exists once the first dialogue is done."""


def workers(folder: Path) -> list[WorkerState]:
    """Return the processes that work on the run in `folder`, dead ones included, oldest first."""
    found = (_state(path, time.time()) for path in (folder / SEGMENTS).glob(f"*{_WORKER}"))
    return sorted(filter(None, found), key=lambda state: float(state.about.get("since", 0)))


class Worker:
    """This process as a worker on one run. Nothing is written before `register`."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Create a worker; `about` is published in the worker's file, and must hold no secrets."""
        self.name = f"{os.uname().nodename}-{os.getpid()}-{time.time_ns()}"
        self._folder = folder / SEGMENTS
        self._file = self._folder / f"{self.name}{_WORKER}"
        self._about = {**_this_process(), "name": self.name, "since": round(time.time(), 3), **about}
        self._owners: dict[str, str] = {}
        """Owners of the claim files that were read; the owner of a claim file never changes."""
        self._generation: dict[str, int] = {}
        """The generation of each claim that this worker has made."""
        self._gone = threading.Event()
        self._is_registered = False

    def register(self) -> None:
        """Write this worker's file, and renew its modification time until `leave`.

        Raises:
            StorageError: the folder cannot be written.
        """
        write_atomically(self._file, json.dumps(self._about).encode())
        self._is_registered = True
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def take(self, what: str) -> bool:
        """Claim a part of the run; return whether this worker owns it now (False: a living worker has it)."""
        generations = self._generations().get(what, [])
        if generations and self._is_held(self._claim(what, generations[-1]), self._living(*_signs(what))):
            return False
        generation = generations[-1] + 1 if generations else 0
        claim = self._claim(what, generation)
        with storage_errors(self._folder):
            if not self._create(claim):
                return False
        if self._generations().get(what, [])[-1:] != [generation]:  # others created a newer one since
            claim.unlink(missing_ok=True)
            return False
        for older in generations:
            self._claim(what, older).unlink(missing_ok=True)
        self._generation[what] = generation
        return True

    def has(self, what: str) -> bool:
        """Return whether this worker still owns a part. A worker that is suspended for long loses its
        parts.
        """
        if what not in self._generation:
            return False
        # Whoever takes a part over creates the next generation before removing this one.
        own = self._generation[what]
        return self._claim(what, own).exists() and not self._claim(what, own + 1).exists()

    def taken(self) -> set[str]:
        """Return the parts that living workers own, including this worker."""
        claims, living = self._generations(), self._living(_WORKER)
        return {what for what, gens in claims.items() if self._is_held(self._claim(what, gens[-1]), living)}

    def others(self) -> set[str]:
        """Return the names of the other processes that work on the run."""
        return self._living(_WORKER) - {self.name}

    def step_back(self) -> None:
        """Release all claims except the one on merging the records."""
        left = self._file.with_suffix(_LEFT)
        with storage_errors(self._folder), suppress(FileNotFoundError):
            self._file.replace(left)
        self._file = left

    def release(self, what: str) -> None:
        for generation in self._generations().get(what, []):
            claim = self._claim(what, generation)
            if self._owner(claim) == self.name:
                claim.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the files of dead workers: claims, worker files and incomplete files."""
        for what, generations in self._generations().items():
            living = self._living(*_signs(what))
            for claim in (self._claim(what, generation) for generation in generations):
                if not self._is_held(claim, living):
                    claim.unlink(missing_ok=True)
        living = self._living(*_signs(MERGE))
        for path in (*self._folder.glob(f"*{_WORKER}"), *self._folder.glob(f"*{_LEFT}")):
            if path.stem not in living:
                path.unlink(missing_ok=True)
        run = self._folder.parent
        for folder in (run, run / "images"):
            for path in unfinished(folder):
                path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Stop renewing the worker's file, and remove it."""
        self._gone.set()
        if self._is_registered:
            self._file.unlink(missing_ok=True)
            self._is_registered = False
            with suppress(OSError):  # not empty: other workers have files there
                self._folder.rmdir()

    def _beat(self) -> None:
        while not self._gone.wait(_BEAT_S):
            with suppress(OSError):  # a network disk may be unreachable for a while
                os.utime(self._file)

    def _now(self) -> float:
        """Return the time by the clock of the disk, which may differ from this machine's."""
        try:
            os.utime(self._file)
            return self._file.stat().st_mtime
        except OSError:
            return time.time()

    def _generations(self) -> dict[str, list[int]]:
        """Return the generations of every claim, oldest first."""
        found: dict[str, list[int]] = {}
        with suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                if name.endswith(_CLAIM):
                    what, generation, _ = name.rsplit(".", 2)
                    found.setdefault(what, []).append(int(generation))
        return {what: sorted(generations) for what, generations in found.items()}

    def _claim(self, what: str, generation: int) -> Path:
        return self._folder / f"{what}.{generation}{_CLAIM}"

    def _create(self, claim: Path) -> bool:
        """Create a claim file that names this worker; return False if the file exists already.

        A hard link to the worker's own file appears with its content or not at all. On a disk without hard
        links, a process killed between creating and writing the claim leaves an empty one.
        """
        try:
            os.link(self._file, claim)
        except FileExistsError:
            return False
        except OSError:
            try:
                with claim.open("xb") as file:
                    file.write(json.dumps(self._about).encode())
            except FileExistsError:
                return False
        return True

    def _is_held(self, claim: Path, living: set[str]) -> bool:
        owner = self._owner(claim)
        if owner == "":  # another living worker, if there is one, may be about to write its name
            return bool(living - {self.name}) and self._is_young(claim)
        return owner in living

    def _owner(self, claim: Path) -> str | None:
        """Return the owner of a claim: empty while the file is being written, None if it is gone."""
        if claim.name not in self._owners:
            try:
                content = claim.read_bytes()
            except FileNotFoundError:
                return None
            try:
                owner = str(json.loads(content)["name"])
            except ValueError:
                owner = ""
            if not owner or claim.name.startswith(MERGE):  # a claim on merging can change its owner
                return owner
            self._owners[claim.name] = owner
        return self._owners[claim.name]

    def _is_young(self, path: Path) -> bool:
        try:
            return self._now() - path.stat().st_mtime < STALE_S
        except FileNotFoundError:
            return False

    def _living(self, *suffixes: str) -> set[str]:
        """Return the names of the living workers, including this worker."""
        now = self._now()
        paths = [path for suffix in suffixes for path in self._folder.glob(f"*{suffix}")]
        return {state.name for path in paths if (state := _state(path, now)) and state.is_alive}


def _signs(what: str) -> tuple[str, ...]:
    """Return the suffixes of worker files whose workers may own the claim on a part."""
    return (_WORKER, _LEFT) if what == MERGE else (_WORKER,)


def _state(path: Path, now: float) -> WorkerState | None:
    """Return the state in a worker's file; None if the file is gone or incomplete."""
    try:
        seen = path.stat().st_mtime
        about = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    here = _this_process()
    is_here = all(about.get(key) == here[key] for key in ("host", "namespace"))
    return WorkerState(
        name=path.stem,
        host=about["host"],
        pid=about["pid"],
        about={key: value for key, value in about.items() if key not in {"name", *here}},
        seen=seen,
        is_alive=_started(about["pid"]) == about["started"] if is_here else now - seen < STALE_S,
        segment=segment_path(path.parents[1], path.stem),
    )


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {
        "host": os.uname().nodename,
        "pid": pid,
        "namespace": _pid_namespace(),
        "started": _started(pid),
    }


def _started(pid: int) -> str | None:
    """Return the start time of a process, which distinguishes reused process ids; None if it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self/stat").exists() or not _is_running(pid) else "unknown"
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def _pid_namespace() -> int:
    """Return the id of the process namespace, which distinguishes containers of one host; 0 if unknown."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0
