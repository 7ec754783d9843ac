"""The records of a study as they are stored, for pages that show them and files that pass them on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from analysis.records import SampleKey, run_folders

__all__ = ["Arm", "StoredDialogue", "StoredTurn", "image_path", "stored_dialogues"]


class Arm(NamedTuple):
    """What is compared: a strategy, behind a history, with a seed."""

    strategy: str
    history: str
    seed: int


class StoredTurn(NamedTuple):
    """One line of turns.jsonl, and what it says."""

    line: bytes
    fields: dict[str, Any]


class StoredDialogue(NamedTuple):
    """The turns of one dialogue as one run holds them, in the order of the file."""

    folder: Path
    arm: Arm
    sample: SampleKey
    turns: list[StoredTurn]


def stored_dialogues(study: Path) -> Iterator[StoredDialogue]:
    """Every dialogue of every run at or below `study`, one at a time.

    For a study that `load_study` has checked; a torn last line, of which it warns, is passed over.
    """
    for folder in sorted(run_folders(study)):
        if (folder / "turns.jsonl").exists():
            for (arm, sample), turns in groupby(_turns(folder), key=_names):
                yield StoredDialogue(folder, arm, sample, list(turns))


def image_path(folder: Path, sha256: str) -> Path:
    """Where the run in `folder` keeps an image, which may be gone."""
    return folder / "images" / f"{sha256}.png"


def _turns(folder: Path) -> Iterator[StoredTurn]:
    with open(folder / "turns.jsonl", "rb") as file:
        for line in file:
            try:
                yield StoredTurn(line.strip(), json.loads(line))
            except ValueError:
                return


def _names(turn: StoredTurn) -> tuple[Arm, SampleKey]:
    row = turn.fields
    sample = SampleKey(row["class"], row["domain"], row["task"], str(row["sample_id"]))
    return Arm(row["strategy"], row["history"], row["seed"]), sample
