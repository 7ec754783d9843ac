"""What is kept beside wandb's own files from one invocation to the next: a run's id and its latest point."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imug_tts.contracts import PlannedRun
from imug_tts.files import write_atomically
from imug_tts.wandb_home import FOLDER, word

__all__ = ["PointsState", "wandb_id"]

_STALE_S: Final = 60
"""Seconds after which a lock is nobody's; it is held for a few milliseconds."""


def wandb_id(run: PlannedRun) -> str:
    """The id of a run in wandb: the same in every invocation and every process that works on the run."""
    whole = json.dumps([run.study, run.name, run.identity], sort_keys=True, default=str)
    words = (word(run.study), word(run.name), hashlib.sha256(whole.encode()).hexdigest()[:8])
    return "-".join(words)


@dataclass(frozen=True)
class PointsState:
    """The file of one run."""

    path: Path
    id: str

    @classmethod
    def of(cls, run: PlannedRun) -> PointsState:
        return cls(run.folder.resolve().parent / FOLDER / f"{run.name}.json", wandb_id(run))

    def claim(self, turns: int) -> int | None:
        """The step of a point at so many turns; None if a point at as many or more was told by any process.

        So the points of a run that is restarted, or that several processes work on, rise and never double.
        """
        with self._alone() as alone:
            kept = self._read()
            return self._step(kept | {"turns": turns}) if alone and turns > kept["turns"] else None

    def end(self, ended: bool, account: Mapping[str, Any]) -> int:
        """The step of what is told at an end; notes where the run went, and whether that was its last end."""
        where = {key: account[key] for key in ("project", "entity", "mode")}
        with self._alone():
            return self._step(self._read() | {"ended": ended, **where})

    def reopen(self) -> None:
        """Note that the last end may not have been told, so that the next invocation tells it."""
        with suppress(OSError), self._alone() as alone:
            if alone and self.ended:
                write_atomically(self.path, json.dumps(self._read() | {"ended": False}).encode())

    @property
    def ended(self) -> bool:
        """Whether the run was told to its end."""
        ended: bool = self._read()["ended"]
        return ended

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process changes the file now. Nobody waits: one point less is no loss."""
        lock = self.path.with_suffix(".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if time.time() - lock.stat().st_mtime > _STALE_S:
                lock.unlink()  # of a process that was killed
        try:
            lock.touch(exist_ok=False)
        except FileExistsError:
            yield False
            return
        try:
            yield True
        finally:
            lock.unlink(missing_ok=True)

    def _step(self, kept: dict[str, Any]) -> int:
        """wandb's own count of what was told, over all invocations."""
        step: int = kept["step"] + 1
        write_atomically(self.path, json.dumps(kept | {"step": step}).encode())
        return step

    def _read(self) -> dict[str, Any]:
        nothing = {"id": self.id, "step": 0, "turns": 0, "ended": False}
        try:
            kept: dict[str, Any] = json.loads(self.path.read_bytes())
        except (FileNotFoundError, ValueError):
            return nothing
        # another id: a run of another identity had the name before
        return kept if kept.get("id") == self.id else nothing
