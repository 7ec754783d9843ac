"""The folder of a run: its manifest, turn records in planned order, images, log and summary."""

from __future__ import annotations

import json
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import yaml

from imug_tts.calls import Journal
from imug_tts.contracts import FINAL_OUTCOMES, ConfigurationError, Record
from imug_tts.dialogue import Image, Sample
from imug_tts.files import exclusive, link_or_write, storage_errors, write_atomically
from imug_tts.records import MANIFEST, TURNS, RecordError, line_of, plain, read_turns, sample_name
from imug_tts.runs.tally import Tally

__all__ = ["HEADING", "RunStore", "versions"]

HEADING: Final = (
    *("run", "arm", "strategy", "oracle", "seed", "history", "history_from", "benchmark", "models"),
)
"""Fields of the manifest that every record begins with."""

_OWNER: Final = ("identity", "backbone", "models", "benchmark", "history_from")
"""Fields of the manifest that must be equal for a run to go on: configuration, weights and data."""

_PACKAGES: Final = ("imug_tts", "torch", "transformers", "diffusers", "numpy", "pillow")


class RunStore:
    """Writes records in planned order, whatever the order in which dialogues finish.

    A dialogue without a failed turn is kept from one start to the next; one with a failed turn is
    dropped when the run starts again, so that it is tried again.
    """

    def __init__(
        self,
        folder: Path,
        samples: Sequence[Sample],
        manifest: Mapping[str, Any],
        keeps: Callable[[Sample, Sequence[Record]], bool] = lambda sample, records: True,
    ) -> None:
        """Take hold of the folder of a run, or of a new one. Writes nothing into an old one.

        `keeps` says whether the records of a finished dialogue still hold.

        Raises:
            ConfigurationError: the folder is in use, or belongs to a run of another configuration.
            StorageError: the folder cannot be written.
        """
        self.folder = folder
        self.samples = samples
        self.tally = Tally()
        self.done: set[int] = set()
        """Indices of the dialogues that have their records."""
        self._manifest = plain(manifest)
        self._keeps = keeps
        self._next = 0
        self._ready: dict[int, bytes] = {}
        self._images = folder / "images"
        self._kept: set[str] = set()
        self._file: int | None = None
        with ExitStack() as held:
            held.enter_context(exclusive(folder))
            self._check_owner()
            self._held = held.pop_all()

    @property
    def planned(self) -> int:
        """Turns in all."""
        return sum(len(sample.questions) for sample in self.samples)

    def log(self, entries: Iterable[str]) -> None:
        """Append to the run's log."""
        text = "".join(f"{entry.rstrip()}\n\n" for entry in entries)
        if text:
            with storage_errors(self.folder), open(self.folder / "log.txt", "a", encoding="utf-8") as file:
                file.write(text)

    def load(self) -> Iterator[Record]:
        """Read the records of the dialogues that are done, and count them."""
        for index, records in self._finished_dialogues():
            self._take(index, records)
            yield from records

    def missing(self) -> list[int]:
        """Indices of the dialogues that are to be played."""
        return [index for index in range(len(self.samples)) if index not in self.done]

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write what names the run, and start the records over with those that are done."""
        with storage_errors(self.folder):
            self._images.mkdir(exist_ok=True)
        config_yaml = yaml.safe_dump(plain(config), sort_keys=False)
        write_atomically(self.folder / MANIFEST, _by_key(self._manifest))
        write_atomically(self.folder / "config.yaml", config_yaml.encode())
        write_atomically(self.folder / TURNS, self._take_ready())
        with storage_errors(self.folder):
            self._file = os.open(self.folder / TURNS, os.O_WRONLY | os.O_APPEND)

    def add(self, index: int, records: Iterable[Record]) -> list[Record]:
        """Take the records of dialogue `index`; they are written when their turn in the order comes.

        Returns them as they are written, headed by the fields that name their run.
        """
        heading = {key: self._manifest[key] for key in HEADING}
        headed = [heading | record for record in records]
        self._take(index, headed)
        self._append(self._take_ready())
        return headed

    def keep_images(self, images: Iterable[Image], journal: Journal) -> None:
        """Put images into the run's folder: links to the files that hold them, where links are possible."""
        for image in images:
            if image.sha256 in self._kept:
                continue
            self._kept.add(image.sha256)
            path = f"{self._images}/{image.sha256}.png"
            held = image.source if isinstance(image.source, Path) else journal.put_image(image)
            link_or_write(held, Path(path), image.read)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, and the records that wait behind a dialogue that is not done."""
        if self._file is not None:
            self._append(b"".join(self._ready[index] for index in sorted(self._ready)))
            write_atomically(self.folder / "summary.json", _pretty(summary))
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        self._ready.clear()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._held.close()

    def _take(self, index: int, records: Sequence[Record]) -> None:
        self.done.add(index)
        self._ready[index] = b"".join(line_of(record) for record in records)
        for record in records:
            self.tally.count(record)

    def _take_ready(self) -> bytes:
        """The lines of the finished dialogues that come next in the plan."""
        lines = []
        while self._next in self._ready:
            lines.append(self._ready.pop(self._next))
            self._next += 1
        return b"".join(lines)

    def _append(self, data: bytes) -> None:
        assert self._file is not None, "begin() comes first"
        with storage_errors(self.folder):
            while data:
                data = data[os.write(self._file, data) :]

    def _check_owner(self) -> None:
        path = self.folder / MANIFEST
        if not path.exists():
            return
        try:
            manifest = json.loads(path.read_bytes())
            there = {key: manifest.get(key) for key in _OWNER}
        except (ValueError, AttributeError):
            raise ConfigurationError(
                f"{path} is damaged; move {self.folder} away and run again (its calls are in the journal)"
            ) from None
        if there["models"] is None:
            raise ConfigurationError(
                f"{self.folder} holds a run of version 0.1, which can be analysed, scored and exported, and "
                "not continued; choose another output=DIR (calls in the same journal are not made again)"
            )
        here = {key: self._manifest[key] for key in _OWNER}
        if there != here:
            raise ConfigurationError(
                f"{self.folder} holds a run of another configuration ({_differences(there, here)}); "
                "choose another output=DIR, or move that run away"
            )

    def _finished_dialogues(self) -> Iterator[tuple[int, list[Record]]]:
        """Dialogues of which every turn has a final outcome, or which ended with a refusal for good."""
        index_of = {sample.name: i for i, sample in enumerate(self.samples)}
        dialogues: dict[int, list[Record]] = {}
        for _, record in read_turns(self.folder, on_damage=_warn_of_damage):
            index = index_of.get(sample_name(record))
            if index is not None:
                dialogues.setdefault(index, []).append(record)
        for index, records in dialogues.items():
            expected = [question.number for question in self.samples[index].questions]
            final = [record["turn"] for record in records if record["outcome"] in FINAL_OUTCOMES]
            if records[-1]["outcome"] == "refused" and records[-1]["history"] == "own":
                expected = expected[: len(records)]
            if expected == final and self._keeps(self.samples[index], records):
                yield index, records


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _warn_of_damage(problem: RecordError) -> None:
    warnings.warn(f"{problem}; its dialogue is replayed from the journal", stacklevel=2)


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _by_key(value: Mapping[str, Any]) -> bytes:
    """A line for each key: with thousands of planned dialogues an indented file takes a second to write."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value[key])}" for key in value)
    return f"{{\n{lines}\n}}\n".encode()


def _differences(there: Any, here: Any, prefix: str = "") -> str:
    """Name what differs between two nested mappings, e.g. "seed: 0 there, 1 here"."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [k for k in sorted({*there, *here}) if there.get(k) != here.get(k)]
        return "; ".join(_differences(there.get(k), here.get(k), f"{prefix}.{k}".lstrip(".")) for k in keys)
    return f"{prefix}: {there!r} there, {here!r} here"
