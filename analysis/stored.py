"""Reads the stored turn records of a study, for the report page and for exports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from analysis.records import Arm, SampleKey, Study, sample_key
from imug_tts.contracts.record import Record
from imug_tts.records import image_path, read_turns

__all__ = ["StoredDialogue", "image_file", "stored_dialogues"]

_SHA256 = re.compile("[0-9a-f]{64}")


class StoredDialogue(NamedTuple):
    """The turns of one dialogue in one run, in file order."""

    folder: Path
    arm: Arm
    sample: SampleKey
    turns: list[Record]


def stored_dialogues(study: Study) -> Iterator[StoredDialogue]:
    """Every dialogue of every run of `study`, one at a time.

    An incomplete last line is skipped: loading the study has warned about it.
    """
    for folder, arm in study.arms.items():
        records = (line.record for line in read_turns(folder))
        for sample, turns in groupby(records, key=sample_key):
            yield StoredDialogue(folder, arm, sample, list(turns))


def image_file(folder: Path, sha256: str) -> Path | None:
    """The file of an image in the run's folder; None if the run has no such image, or the text is not a
    hash.
    """
    if not _SHA256.fullmatch(sha256):
        return None
    path = image_path(folder, sha256)
    return path if path.is_file() else None
