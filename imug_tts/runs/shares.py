"""Which dialogues of a run a process begins with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from imug_tts.contracts import ConfigurationError

__all__ = ["Share"]

_MOST_BLOCKS: Final = 256
"""Blocks that a run is cut into; each makes a file while it is worked on."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """One of several processes that work on the same runs.

    A process begins with its own share, and then takes whatever is free, so that no dialogue waits for a
    process that never comes. Without a number the whole run is its share.
    """

    shard: int | None = None
    """Its number, from 0."""
    shards: int = 1
    """How many processes there are to be, more or less."""

    def __post_init__(self) -> None:
        """Raises ConfigurationError when there is no such share."""
        if self.shards < 1:
            raise ConfigurationError(f"shards is {self.shards}; it must be 1 or more")
        if self.shard is not None and not 0 <= self.shard < self.shards:
            raise ConfigurationError(
                f"shard is {self.shard}, and shards is {self.shards}: the numbers are 0 to {self.shards - 1}"
            )

    def about(self) -> dict[str, Any]:
        """What others may want to know of this process."""
        array = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        job = "_".join(filter(None, array)) or os.environ.get("SLURM_JOB_ID")
        return {"shard": self.shard, "shards": self.shards, "job": job}

    def at_most(self, dialogues: int) -> int:
        """How many of all dialogues the process should have in hand at a time."""
        return max(1, -(-dialogues // self.shards))

    def blocks(self, dialogues: int) -> Iterator[tuple[str, range]]:
        """Name and indices of every block of a run of so many dialogues, those of the share first.

        The blocks depend on the number of dialogues alone, so that all processes mean the same ones.
        """
        size = _block_size(dialogues)
        starts = range(0, dialogues, size)
        for start in sorted(starts, key=lambda start: not self._is_own(start // size)):
            yield _name(start // size), range(start, min(start + size, dialogues))

    def block_of(self, index: int, dialogues: int) -> str:
        """The name of the block that holds a dialogue."""
        return _name(index // _block_size(dialogues))

    def _is_own(self, block: int) -> bool:
        return self.shard is None or block % self.shards == self.shard


def _block_size(dialogues: int) -> int:
    return max(1, -(-dialogues // _MOST_BLOCKS))


def _name(block: int) -> str:
    return f"{block:05d}"
