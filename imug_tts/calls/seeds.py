"""Derives the seed of each branch of a turn."""

from __future__ import annotations

import hashlib

__all__ = ["branch_seed"]


def branch_seed(run_seed: int, sample: str, turn: int, path: tuple[int, ...]) -> int:
    """Return the seed of one branch of one turn, in [0, 2**63).

    Trailing zeros of the path are ignored, so candidate 0 of Best-of-N is the answer of Direct.
    """
    while path and path[-1] == 0:
        path = path[:-1]
    digest = hashlib.sha256(f"{run_seed}\n{sample}\n{turn}\n{path}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
