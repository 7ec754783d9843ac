"""Reads the files of a data folder and collects everything that is wrong with them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from imug_tts.benchmarks.imug.records import OfSample, SampleName
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image
from imug_tts.images import HEAD_BYTES, why_not_sent
from imug_tts.jsonl import numbered_lines, parse_object, what_is_wrong

__all__ = ["DataFiles", "Place"]

Record = TypeVar("Record", bound=BaseModel)
Named = TypeVar("Named", bound=OfSample)


class Place(NamedTuple):
    """A line of a data file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


class DataFiles:
    """Reads files by name below one folder, and nothing outside of it.

    Problems are collected in `problems`, so that all of them can be reported at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.sha256 = hashlib.sha256()
        """SHA-256 over the contents of all files that `read` has read."""
        self._boundary = _boundary(folder)
        self._images: dict[str, Image | str] = {}
        self._real_folders: dict[str, str] = {}

    def say(self, place: Place, key: str, complaint: str) -> None:
        """Add a problem, with its place and key, to `problems`."""
        self.problems.append(f"{place}, {key}: {complaint}" if key else f"{place}: {complaint}")

    def read(self, file: str, form: type[Record]) -> Iterator[tuple[Place, Record]]:
        """The valid records of a JSONL file; invalid ones are added to `problems`."""
        lines = self._lines(file)
        if lines and lines[0][1].lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
            self.problems.append(f"{file} is one JSON array; it must have one object per line")
            return
        for number, line in lines:
            place = Place(file, number)
            try:
                yield place, form.model_validate(parse_object(line))
            except ValidationError as error:
                for key, complaint in what_is_wrong(error):
                    self.say(place, key, complaint)
            except ValueError as error:
                self.say(place, "", str(error))

    def read_by_sample(self, file: str, form: type[Named]) -> dict[SampleName, tuple[Place, Named]]:
        """The valid records of a JSONL file with at most one record per sample, by sample name."""
        found: dict[SampleName, tuple[Place, Named]] = {}
        for place, record in self.read(file, form):
            if record.name in found:
                self.say(place, "sample_id", f"{record.name} is in line {found[record.name][0].line} already")
            else:
                found[record.name] = (place, record)
        return found

    def image(self, name: str) -> Image | str:
        """The image with that name, or the reason why there is none. Checked once, and not decoded."""
        if name not in self._images:
            file = self.folder / "images" / name
            self._images[name] = self._why_not("images/", name) or _why_no_image(file) or Image(None, file)
        return self._images[name]

    def _lines(self, file: str) -> list[tuple[int, bytes]]:
        if complaint := self._why_not("", file):
            self.problems.append(f"{file}: {complaint}")
            return []
        try:
            data = (self.folder / file).read_bytes()
            self.sha256.update(f"{file} {len(data)}\n".encode() + data)
            return list(numbered_lines(self.folder / file))
        except (OSError, ConfigurationError) as error:
            self.problems.append(f"{file}: it cannot be read ({error})")
            return []

    def _why_not(self, folder: str, name: str) -> str:
        """The reason why a file cannot be read; empty if it can."""
        if not name.isprintable() or os.path.isabs(name) or ".." in name.split("/"):
            return f"it must be the name of a file in {folder or self.folder}"
        path = os.path.join(self.folder, folder, name)
        try:
            found = os.stat(path)
        except OSError:
            return f"there is no such file in {folder or self.folder}"
        if not stat.S_ISREG(found.st_mode):
            return "it is not a file"
        if not self._inside(path):
            return f"it is a link to a place outside of {self._boundary}; copy the file there"
        return "" if found.st_size or not folder else "the file is empty"

    def _inside(self, path: str) -> bool:
        """Whether a file lies within the boundary after following links."""
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        real = os.path.join(self._real_folders[folder], name)
        if os.path.islink(real):
            real = os.path.realpath(real)
        return os.path.commonpath([real, self._boundary]) == self._boundary


def _why_no_image(file: Path) -> str:
    try:
        with file.open("rb", buffering=0) as opened:
            return why_not_sent(opened.read(HEAD_BYTES))
    except OSError as error:
        return f"it cannot be read ({error.strerror})"


def _boundary(folder: Path) -> str:
    """The folder outside of which nothing is read. The files of a hub snapshot are links to blobs beside
    it.
    """
    for parent in folder.absolute().parents:
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return os.path.realpath(parent.parent)
    return os.path.realpath(folder)
