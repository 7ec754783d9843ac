"""What an earlier analysis wrote: reused when records, options and code are the same, else removed."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imug_tts.records
from imug_tts.records import MANIFEST, run_folders, turn_files

__all__ = ["Made", "clear", "fingerprint", "recall", "remember"]

_NAME = "made.json"
_OURS = ("tables/T[0-9]*.md", "tables/T[0-9]*.tex", "figures/*.png", "figures/*.pdf")
"""What an analysis writes under names that depend on the study."""
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
    """What was made of `wanted` into `out`; None if it was not, or if a file of it is gone or was changed."""
    try:
        made = json.loads((out / _NAME).read_bytes())
        paths = [out / path for path in made["paths"]]
        is_whole = made["fingerprint"] == wanted and made["files"] == _digests(out, paths)
        return Made(made["printed"], paths) if is_whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(out: Path, wanted: str, made: Made) -> None:
    """Note what was made, last of all."""
    paths = [path.relative_to(out).as_posix() for path in made.paths]
    files = _digests(out, made.paths)
    note = {"fingerprint": wanted, "printed": made.printed, "paths": paths, "files": files}
    (out / _NAME).write_text(json.dumps(note) + "\n", encoding="utf-8")


def clear(out: Path) -> None:
    """Remove what an earlier analysis left in `out`, so that what stands there is of one analysis."""
    for path in _left_by_an_earlier(out):
        path.unlink(missing_ok=True)
    (out / _NAME).unlink(missing_ok=True)


def _left_by_an_earlier(out: Path) -> list[Path]:
    """The files that the note of the earlier analysis lists; a note of version 0.1 lists folders alone."""
    try:
        listed = json.loads((out / _NAME).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return [path for pattern in _OURS for path in out.glob(pattern)]
    inside = out.resolve()
    return [path for name in listed if (path := out / name).resolve().is_relative_to(inside)]


def _records(study: Path) -> Iterator[Path]:
    if study.is_file():
        yield study
        return
    for folder in sorted(run_folders(study)):
        yield from (folder / MANIFEST, *turn_files(folder))


def _digests(out: Path, paths: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each file among the paths and in their folders, by its path from `out`."""
    files = sorted(file for path in paths for file in (path.iterdir() if path.is_dir() else [path]))
    return {f.relative_to(out).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
