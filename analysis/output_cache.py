"""Cache of an analysis: its files are reused if records, options and code are unchanged, else they are
removed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imug_tts.records
from imug_tts.records import MANIFEST, run_folders, turn_files

__all__ = ["Outputs", "delete_outputs", "fingerprint", "load_outputs", "save_outputs"]

_NAME = "made.json"
_OURS = ("tables/T[0-9]*.md", "tables/T[0-9]*.tex", "figures/*.png", "figures/*.pdf")
"""Patterns of files that an analysis of any study writes."""
_CODE = Path(__file__).parent
_READER = Path(imug_tts.records.__file__)


@dataclass(frozen=True)
class Outputs:
    """The printed text of an analysis, and the files and folders that it wrote."""

    printed: str
    paths: Sequence[Path]


def fingerprint(options: argparse.Namespace) -> str:
    """SHA-256 over the options, the records, the code of this package and the record reader."""
    digest = hashlib.sha256(repr(sorted(vars(options).items())).encode())
    for path in (*_records(options.study), *sorted(_CODE.rglob("*.*")), _READER):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def load_outputs(out: Path, wanted: str) -> Outputs | None:
    """The cached outputs in `out`; None if the fingerprint differs, or a file was changed or removed."""
    try:
        made = json.loads((out / _NAME).read_bytes())
        paths = [out / path for path in made["paths"]]
        is_whole = made["fingerprint"] == wanted and made["files"] == _digests(out, paths)
        return Outputs(made["printed"], paths) if is_whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_outputs(out: Path, wanted: str, made: Outputs) -> None:
    """Write the cache entry of the outputs; called after all files are written."""
    paths = [path.relative_to(out).as_posix() for path in made.paths]
    files = _digests(out, made.paths)
    note = {"fingerprint": wanted, "printed": made.printed, "paths": paths, "files": files}
    (out / _NAME).write_text(json.dumps(note) + "\n", encoding="utf-8")


def delete_outputs(out: Path) -> None:
    """Delete the files of a previous analysis from `out`, so that all files there come from one analysis."""
    for path in _outputs_in(out):
        path.unlink(missing_ok=True)
    (out / _NAME).unlink(missing_ok=True)


def _outputs_in(out: Path) -> list[Path]:
    """The files listed in the cache entry in `out`. Entries of version 0.1 list folders only; then files
    match `_OURS`.
    """
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
    """The SHA-256 of each file in `paths` or directly below them, by its path relative to `out`."""
    files = sorted(file for path in paths for file in (path.iterdir() if path.is_dir() else [path]))
    return {f.relative_to(out).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
