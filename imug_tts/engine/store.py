"""The folder of a run: its manifest, turn records in planned order, images and summary."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Sample
from imug_tts.engine.files import storage_errors, write_atomically
from imug_tts.engine.journal import Journal

__all__ = ["RunStore", "plain"]

Record = dict[str, Any]

_HEADING = ("run", "strategy", "oracle", "seed", "history", "benchmark")


class RunStore:
    """Writes records in planned order, whatever the order in which dialogues finish.

    A dialogue that is wholly scored is kept from one start to the next; one with a failed turn is
    dropped when the run starts again, so that it is tried again.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample], manifest: Mapping[str, Any]) -> None:
        """Open the folder of a run, or make it.

        Raises:
            ConfigurationError: the folder belongs to a run of another configuration.
            StorageError: the folder cannot be written.
        """
        self.folder = folder
        self._samples = samples
        self._check_owner(manifest)
        self.records: dict[int, list[Record]] = dict(self._finished_dialogues())
        """The records of every dialogue that is done, by its index in the plan."""
        with storage_errors(folder):
            (folder / "images").mkdir(parents=True, exist_ok=True)
        self._next = 0
        self._ready = dict(self.records)
        self._file: int | None = None
        self._manifest = manifest

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write what names the run, and start the records over with the finished dialogues."""
        write_atomically(self.folder / "manifest.json", _pretty(self._manifest))
        config_yaml = yaml.safe_dump(plain(config), sort_keys=False)
        write_atomically(self.folder / "config.yaml", config_yaml.encode())
        write_atomically(self.folder / "turns.jsonl", self._take_ready())
        with storage_errors(self.folder):
            self._file = os.open(self.folder / "turns.jsonl", os.O_WRONLY | os.O_APPEND)

    def add(self, index: int, records: list[Record]) -> None:
        """Take the records of dialogue `index`; they are written when their turn in the order comes.

        Every record begins with the fields of the manifest that name its run.
        """
        heading = {key: self._manifest[key] for key in _HEADING}
        self.records[index] = self._ready[index] = [heading | record for record in records]
        self._append(self._take_ready())

    def keep_images(self, images: Iterable[Image], journal: Journal) -> None:
        """Put images into the run's folder: links to the journal's files where links are possible."""
        for image in images:
            path = self.folder / "images" / f"{image.sha256}.png"
            if path.exists():
                continue
            journal.put_image(image)
            try:
                os.link(journal.image_path(image.sha256), path)
            except OSError:
                write_atomically(path, image.read())

    def close(self) -> None:
        """Write what is finished, also behind a dialogue that is not, and let go of the file."""
        if self._file is None:
            return
        self._append(b"".join(_lines(self._ready[index]) for index in sorted(self._ready)))
        self._ready.clear()
        os.close(self._file)
        self._file = None

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        write_atomically(self.folder / "summary.json", _pretty(summary))

    def _take_ready(self) -> bytes:
        """The lines of the finished dialogues that come next in the plan."""
        lines = []
        while self._next in self._ready:
            lines.append(_lines(self._ready.pop(self._next)))
            self._next += 1
        return b"".join(lines)

    def _append(self, data: bytes) -> None:
        assert self._file is not None, "begin() comes first"
        with storage_errors(self.folder):
            while data:
                data = data[os.write(self._file, data) :]

    def _check_owner(self, manifest: Mapping[str, Any]) -> None:
        path = self.folder / "manifest.json"
        if not path.exists():
            return
        try:
            there = json.loads(path.read_bytes())["identity"]
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"{path} is damaged; move {self.folder} away and start again (its calls are in the journal)"
            ) from None
        if there != manifest["identity"]:
            raise ConfigurationError(
                f"{self.folder} holds a run of another configuration "
                f"({_differences(there, manifest['identity'])}); choose another output=DIR"
            )

    def _finished_dialogues(self) -> Iterator[tuple[int, list[Record]]]:
        index_of = {(s.domain, s.task, s.sample_id): i for i, s in enumerate(self._samples)}
        dialogues: dict[int, list[Record]] = {}
        for record in self._read_records():
            index = index_of.get((record["domain"], record["task"], record["sample_id"]))
            if index is not None:
                dialogues.setdefault(index, []).append(record)
        for index, records in dialogues.items():
            expected = [q.number for q in self._samples[index].questions]
            scored = [r["turn"] for r in records if r["outcome"] == "scored"]
            if scored == expected:
                yield index, records

    def _read_records(self) -> Iterator[Record]:
        path = self.folder / "turns.jsonl"
        if not path.exists():
            return
        complete, _, _torn = path.read_bytes().rpartition(b"\n")
        for number, line in enumerate(complete.splitlines(), 1):
            try:
                yield _checked(json.loads(line))
            except (ValueError, KeyError, TypeError):
                warnings.warn(
                    f"{path}, line {number}: damaged; its dialogue is replayed from the journal",
                    stacklevel=2,
                )


def _lines(records: list[Record]) -> bytes:
    return b"".join(json.dumps(r, separators=(",", ":")).encode() + b"\n" for r in records)


def _checked(record: Record) -> Record:
    for key in ("domain", "task", "sample_id", "turn", "outcome"):
        record[key]
    return record


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def plain(value: Mapping[str, Any]) -> Any:
    """The value as JSON has it: tuples become lists, mappings become dicts."""
    return json.loads(json.dumps(value))


def _differences(there: Any, here: Any, prefix: str = "") -> str:
    """Name what differs between two nested mappings, e.g. "seed: 0 there, 1 here"."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [k for k in sorted({*there, *here}) if there.get(k) != here.get(k)]
        return "; ".join(_differences(there.get(k), here.get(k), f"{prefix}.{k}".lstrip(".")) for k in keys)
    return f"{prefix}: {there!r} there, {here!r} here"
