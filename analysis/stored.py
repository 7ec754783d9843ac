"""The records of a study as they are stored, for pages that show them and files that pass them on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from analysis.records import Arm, SampleKey, Study

__all__ = ["StoredDialogue", "StoredTurn", "image_file", "image_files", "stored_dialogues"]

_SHA256 = re.compile("[0-9a-f]{64}")


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


def stored_dialogues(study: Study) -> Iterator[StoredDialogue]:
    """Every dialogue of every run of `study`, one at a time.

    A torn last line, of which reading the study has warned, is passed over.
    """
    for folder, arm in study.arms.items():
        if (folder / "turns.jsonl").exists():
            for sample, turns in groupby(_turns(folder), key=_sample):
                yield StoredDialogue(folder, arm, sample, list(turns))


def image_files(folder: Path) -> Iterator[Path]:
    """The image files of the run in `folder`, which are named by content hash."""
    return (path for path in (folder / "images").glob("*.png") if _SHA256.fullmatch(path.stem))


def image_file(folder: Path, sha256: str) -> Path | None:
    """Where the run in `folder` keeps an image; None where it has none, or the hash is not one."""
    path = folder / "images" / f"{sha256}.png"
    return path if _SHA256.fullmatch(sha256) and path.is_file() else None


def _turns(folder: Path) -> Iterator[StoredTurn]:
    with open(folder / "turns.jsonl", "rb") as file:
        for line in file:
            try:
                yield StoredTurn(line.strip(), json.loads(line))
            except ValueError:
                return


def _sample(turn: StoredTurn) -> SampleKey:
    row = turn.fields
    return SampleKey(row["class"], row["domain"], row["task"], str(row["sample_id"]))
