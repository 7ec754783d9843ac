"""The state that is kept between invocations for each wandb run: its id and its latest point."""

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
"""Age of a lock file, in seconds, from which on it is abandoned; a lock lasts a few milliseconds."""


def wandb_id(run: PlannedRun) -> str:
    """Return the wandb id of a run: the same in every invocation and process that works on the run."""
    whole = json.dumps([run.study, run.name, run.identity], sort_keys=True, default=str)
    words = (word(run.study), word(run.name), hashlib.sha256(whole.encode()).hexdigest()[:8])
    return "-".join(words)


@dataclass(frozen=True)
class PointsState:
    """The state file of one run."""

    path: Path
    id: str

    @classmethod
    def of(cls, run: PlannedRun) -> PointsState:
        return cls(run.folder.resolve().parent / FOLDER / f"{run.name}.json", wandb_id(run))

    def claim(self, turns: int) -> int | None:
        """Return the step for a point at `turns` turns; None if one at as many or more turns was logged.

        So the points of a resumed or shared run increase, and none is logged twice.
        """
        with self._alone() as alone:
            kept = self._read()
            return self._step(kept | {"turns": turns}) if alone and turns > kept["turns"] else None

    def end(self, ended: bool, account: Mapping[str, Any]) -> int:
        """Return the step of the final point; stores the wandb run's address and whether the run `ended`."""
        where = {key: account[key] for key in ("project", "entity", "mode")}
        with self._alone():
            return self._step(self._read() | {"ended": ended, **where})

    def reopen(self) -> None:
        """Mark the run as not ended, so that the next invocation logs its end again."""
        with suppress(OSError), self._alone() as alone:
            if alone and self.ended:
                write_atomically(self.path, json.dumps(self._read() | {"ended": False}).encode())

    @property
    def ended(self) -> bool:
        """Whether the complete run has been logged."""
        ended: bool = self._read()["ended"]
        return ended

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Lock the file; yield whether that succeeded. Never waits: one point less is no loss."""
        lock = self.path.with_suffix(".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if time.time() - lock.stat().st_mtime > _STALE_S:
                lock.unlink()  # left by a killed process
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
        """Store the state with the next step, and return it; steps count over all invocations."""
        step: int = kept["step"] + 1
        write_atomically(self.path, json.dumps(kept | {"step": step}).encode())
        return step

    def _read(self) -> dict[str, Any]:
        nothing = {"id": self.id, "step": 0, "turns": 0, "ended": False}
        try:
            kept: dict[str, Any] = json.loads(self.path.read_bytes())
        except (FileNotFoundError, ValueError):
            return nothing
        # with another id the file belongs to a run of another identity that had the same name
        return kept if kept.get("id") == self.id else nothing
