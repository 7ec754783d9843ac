"""Shards: the dialogues of a run that each of several processes plays first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from imug_tts.contracts import ConfigurationError

__all__ = ["Share"]

_MOST_BLOCKS: Final = 256
"""The largest number of blocks of a run. Each claimed block has one claim file."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """The shard of one of several processes that work on the same runs.

    A process plays the dialogues of its own shard first, then any others that no process has claimed. So all
    dialogues are played even if a process is never started. Without a shard number, the whole run is the
    shard.
    """

    shard: int | None = None
    """Number of the shard, from 0."""
    shards: int = 1
    """Approximate number of processes."""

    def __post_init__(self) -> None:
        """Check the numbers; raises ConfigurationError if there is no such shard."""
        if self.shards < 1:
            raise ConfigurationError(f"shards is {self.shards}; it must be 1 or more")
        if self.shard is not None and not 0 <= self.shard < self.shards:
            raise ConfigurationError(
                f"shard is {self.shard} and shards is {self.shards}; shard must be 0 to {self.shards - 1}"
            )

    def about(self) -> dict[str, Any]:
        """Return the entries of this process's worker file: shard, shards and SLURM job."""
        array = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        job = "_".join(filter(None, array)) or os.environ.get("SLURM_JOB_ID")
        return {"shard": self.shard, "shards": self.shards, "job": job}

    def at_most(self, dialogues: int) -> int:
        """Return this process's share of a number of dialogues, rounded up; at least 1."""
        return max(1, -(-dialogues // self.shards))

    def blocks(self, dialogues: int) -> Iterator[tuple[str, range]]:
        """Yield the name and the dialogue indices of every block of a run, blocks of this shard first.

        The blocks depend only on the number of dialogues, so all processes use the same blocks.
        """
        size = _block_size(dialogues)
        starts = range(0, dialogues, size)
        for start in sorted(starts, key=lambda start: not self._is_own(start // size)):
            yield _name(start // size), range(start, min(start + size, dialogues))

    def block_of(self, index: int, dialogues: int) -> str:
        """Return the name of the block that contains a dialogue."""
        return _name(index // _block_size(dialogues))

    def _is_own(self, block: int) -> bool:
        return self.shard is None or block % self.shards == self.shard


def _block_size(dialogues: int) -> int:
    return max(1, -(-dialogues // _MOST_BLOCKS))


def _name(block: int) -> str:
    return f"{block:05d}"
