"""The records of a study as they are stored, for pages that show them and files that pass them on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from analysis.records import Arm, SampleKey, Study

__all__ = ["StoredDialogue", "StoredTurn", "image_path", "stored_dialogues"]


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


def _sample(turn: StoredTurn) -> SampleKey:
    row = turn.fields
    return SampleKey(row["class"], row["domain"], row["task"], str(row["sample_id"]))
