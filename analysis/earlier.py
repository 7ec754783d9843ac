"""What an earlier start wrote, when nothing has changed since: the same records, options and code."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imug_tts.records
from imug_tts.records import MANIFEST, TURNS, run_folders

__all__ = ["Made", "fingerprint", "recall", "remember"]

_NAME = "made.json"
_CODE = Path(__file__).parent
_READER = Path(imug_tts.records.__file__)


@dataclass(frozen=True)
class Made:
    """What an analysis printed, and the files and folders that it wrote."""

    printed: str
    paths: Sequence[Path]


def fingerprint(options: argparse.Namespace) -> str:
    """SHA-256 over the options, the records, this package's own files and the reader of records."""
    digest = hashlib.sha256(repr(sorted(vars(options).items())).encode())
    for path in (*_records(options.study), *sorted(_CODE.rglob("*.*")), _READER):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def recall(out: Path, wanted: str) -> Made | None:
    """What was made of `wanted` into `out`; None if it was not, or if something of it is gone."""
    try:
        made = json.loads((out / _NAME).read_bytes())
        paths = [out / path for path in made["paths"]]
        return Made(made["printed"], paths) if made["fingerprint"] == wanted and _all_there(paths) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(out: Path, wanted: str, made: Made) -> None:
    """Note what was made, last of all."""
    paths = [path.relative_to(out).as_posix() for path in made.paths]
    note = {"fingerprint": wanted, "printed": made.printed, "paths": paths}
    (out / _NAME).write_text(json.dumps(note) + "\n", encoding="utf-8")


def _records(study: Path) -> Iterator[Path]:
    if study.is_file():
        yield study
        return
    for folder in sorted(run_folders(study)):
        yield from (folder / MANIFEST, folder / TURNS)


def _all_there(paths: Sequence[Path]) -> bool:
    return all(path.exists() for path in paths)
