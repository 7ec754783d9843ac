"""The folder of a run: manifest, turn records in planned order, images, log and summary.

Any number of processes may work on one run. Each claims blocks of dialogues (see `imug_tts.runs.claims`), and
appends the records to its own segment. The last process to finish merges the segments.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from imug_tts.calls import Journal
from imug_tts.contracts import FINAL_OUTCOMES, ConfigurationError, Record, Summary
from imug_tts.dialogue import Image, Sample
from imug_tts.files import link_or_write, storage_errors, write_atomically
from imug_tts.records import (
    HEADING,
    MANIFEST,
    TURNS,
    Dialogue,
    RecordError,
    check_unchanged,
    line_of,
    merge_turns,
    plain,
    read_dialogues,
    segment_files,
    segment_path,
    stranger,
    with_digest,
)
from imug_tts.runs.claims import MERGE, Worker
from imug_tts.runs.shares import Share
from imug_tts.runs.tally import Tally

__all__ = ["RunStore"]

_OWNER: Final = ("identity", "backbone", "models", "benchmark", "history_from")
"""Fields of the manifest that must be equal to resume a run: configuration, weights and data."""


class RunStore:
    """Stores the records of this process's dialogues, and reads the records of other processes.

    A dialogue without a failed turn is kept. A dialogue with a failed turn is played again by the next
    invocation.
    """

    def __init__(
        self,
        folder: Path,
        samples: Sequence[Sample],
        manifest: Mapping[str, Any],
        *,
        share: Share | None = None,
        keeps: Callable[[Sample, Sequence[Record]], bool] = lambda sample, records: True,
        on_found: Callable[[Record], None] = lambda record: None,
    ) -> None:
        """Inspect the folder of an existing or new run. Writes nothing.

        Args:
            share: the shard of this process.
            keeps: returns whether the records of a finished dialogue are still valid.
            on_found: called with every record that another invocation or process wrote.

        Raises:
            ConfigurationError: the folder belongs to a run of another configuration.
        """
        self.folder = folder
        self.samples = samples
        self.tally = Tally()
        self.done: set[int] = set()
        """Indices of the dialogues that have records."""
        self._share = share or Share()
        self._index_of = {sample.name: index for index, sample in enumerate(samples)}
        self._manifest = plain(manifest)
        self._keeps = keeps
        self._on_found = on_found
        self._worker = Worker(folder, self._share.about())
        self._segment = segment_path(folder, self._worker.name)
        self._read_up_to: dict[Path, int] = {}
        self._merged: tuple[int, ...] = ()
        self._own_blocks: set[str] = set()
        """Blocks of dialogues that this process has claimed."""
        self._others_blocks: set[str] = set()
        """Blocks that other processes owned when this one stopped."""
        self._images = folder / "images"
        self._kept: set[str] = set()
        self._file: int | None = None
        self._has_begun = False
        self._take_over()

    @property
    def planned(self) -> int:
        """Planned turns."""
        return self._turns(range(len(self.samples)))

    @property
    def is_complete(self) -> bool:
        """Whether every dialogue has records, and all records are merged into one file."""
        return len(self.done) == len(self.samples) and not segment_files(self.folder)

    def log(self, entries: Iterable[str]) -> None:
        """Append to the log of the run."""
        text = "".join(f"{entry.rstrip()}\n\n" for entry in entries)
        if text:
            with storage_errors(self.folder), open(self.folder / "log.txt", "a", encoding="utf-8") as file:
                file.write(text)

    def load(self) -> None:
        """Read the records of finished dialogues that other invocations wrote, and add them to the tally."""
        for path in segment_files(self.folder):
            self._read(path, tries_again=True)
        self._read_merged()

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write manifest and configuration, and register as a worker.

        Raises:
            StorageError: the folder cannot be written.
        """
        with storage_errors(self.folder):
            self._images.mkdir(parents=True, exist_ok=True)
        config_yaml = yaml.safe_dump(plain(config), sort_keys=False)
        write_atomically(self.folder / MANIFEST, _by_key(with_digest(self._manifest)))
        write_atomically(self.folder / "config.yaml", config_yaml.encode())
        self._worker.register()
        self._has_begun = True

    def free(self, on_taken: Callable[[], None] = lambda: None) -> Iterator[int]:
        """Claim blocks of dialogues that no process has claimed; yield the indices of unplayed dialogues.

        `on_taken` is called after each claim.
        """
        while (block := self._take_block()) is not None:
            self.refresh()
            on_taken()
            yield from (index for index in block if index not in self.done)

    def refresh(self) -> None:
        """Read the records that other processes have written since the last call, and add them to the
        tally.
        """
        for path in segment_files(self.folder):
            if path != self._segment:
                self._read(path, tries_again=False)
        self._read_merged()

    def add(self, index: int, records: Iterable[Record]) -> list[Record]:
        """Write the records of dialogue `index`; return them with the heading fields.

        If this process was suspended for long and another process has taken over the dialogue, nothing is
        written and the list is empty.
        """
        if not self._worker.has(self._share.block_of(index, len(self.samples))):
            return []
        heading = {key: self._manifest[key] for key in HEADING}
        headed = [heading | record for record in records]
        self._append(b"".join(map(line_of, headed)))
        self._count(index, headed)
        return headed

    def keep_images(self, images: Iterable[Image], journal: Journal) -> None:
        """Store images in the run's folder, as hard links to existing files if possible."""
        for image in images:
            if image.sha256 in self._kept:
                continue
            self._kept.add(image.sha256)
            path = f"{self._images}/{image.sha256}.png"
            source = image.source if isinstance(image.source, Path) else journal.put_image(image)
            link_or_write(source, Path(path), image.read)

    def elsewhere(self) -> int:
        """Return the number of turns that other processes were playing when this process stopped."""
        blocks = [
            block for name, block in self._share.blocks(len(self.samples)) if name in self._others_blocks
        ]
        return self._turns(index for block in blocks for index in block if index not in self.done)

    def finish(self, summarize: Callable[[], Summary]) -> Summary:
        """Stop working on the run; return its summary.

        The last process merges records and writes the summary.
        """
        if not self._has_begun:
            return summarize()
        # Read the claims before the records: a process that has released its claims has written all records.
        self._others_blocks = self._worker.taken() - self._own_blocks
        self.refresh()
        summary = summarize()
        self._worker.step_back()
        self._close_segment()
        while not self._worker.others() and self._worker.take(MERGE):
            self._others_blocks = set()
            self.refresh()
            summary = summarize()
            merge_turns(self.folder, self._left_segments())
            write_atomically(self.folder / "summary.json", _pretty(summary.to_json()))
            if self.is_complete:
                self._worker.clear()
            self._worker.release(MERGE)
            if not segment_files(self.folder):  # else another process finished in the meantime
                break
        self.close()
        return summary

    def close(self) -> None:
        """Close the segment and leave the run."""
        self._close_segment()
        self._worker.leave()

    def _turns(self, indices: Iterable[int]) -> int:
        return sum(len(self.samples[index].questions) for index in indices)

    def _left_segments(self) -> list[Path]:
        """Return the segments to which no process writes any more."""
        # List the segments before the workers: a process registers as a worker before it creates its segment.
        segments = segment_files(self.folder)
        writing = self._worker.others()
        return [segment for segment in segments if segment.stem not in writing]

    def _take_block(self) -> range | None:
        taken = self._worker.taken()
        for name, block in self._share.blocks(len(self.samples)):
            if name in self._own_blocks or name in taken or all(index in self.done for index in block):
                continue
            if self._worker.take(name):
                self._own_blocks.add(name)
                return block
        return None

    def _count(self, index: int, records: Iterable[Record]) -> None:
        self.done.add(index)
        for record in records:
            self.tally.count(record)

    def _read_merged(self) -> None:
        """Read `turns.jsonl` if it has changed since it was last read."""
        path = self.folder / TURNS
        state = path.stat() if path.exists() else None
        known = () if state is None else (state.st_ino, state.st_size, state.st_mtime_ns)
        if known != self._merged:
            self._merged = known
            self._read_up_to.pop(path, None)
            self._read(path, tries_again=True)

    def _read(self, path: Path, *, tries_again: bool) -> None:
        """Add the complete dialogues of a file to the tally, except those that were added before.

        With `tries_again`, dialogues with a failed turn are left out, so that they are played again.
        """
        start = self._read_up_to.get(path, 0)
        for dialogue in read_dialogues(path, start, on_damage=_warn_of_damage):
            index = self._index_of.get(dialogue.name)
            if dialogue.is_whole:
                self._read_up_to[path] = dialogue.spans[-1][1]
            if index is None or index in self.done or not dialogue.is_whole:
                continue
            if problem := self._stranger_in(dialogue):
                _warn_of_damage(problem)
                continue
            if not tries_again or self._is_final(index, dialogue.records):
                self._count(index, dialogue.records)
                for record in dialogue.records:
                    self._on_found(record)

    def _stranger_in(self, dialogue: Dialogue) -> RecordError | None:
        """Return the error of the first record that belongs to another run."""
        for place, record in dialogue.lines:
            if difference := stranger(record, self._manifest):
                return RecordError(place, difference)
        return None

    def _is_final(self, index: int, records: Sequence[Record]) -> bool:
        """Return whether every turn has a final outcome, or the dialogue ended with a refusal."""
        expected = [question.number for question in self.samples[index].questions]
        final = [record["turn"] for record in records if record["outcome"] in FINAL_OUTCOMES]
        if records[-1]["outcome"] == "refused" and records[-1]["history"] == "own":
            expected = expected[: len(records)]
        return expected == final and self._keeps(self.samples[index], records)

    def _append(self, data: bytes) -> None:
        with storage_errors(self.folder):
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._file = os.open(self._segment, flags, 0o644)
            while data:
                data = data[os.write(self._file, data) :]

    def _close_segment(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take_over(self) -> None:
        """Check that the folder's run, if there is one, is this run, and keep the versions that it names."""
        path = self.folder / MANIFEST
        if not path.exists():
            return
        try:
            manifest = json.loads(path.read_bytes())
            check_unchanged(manifest)
            there = {key: manifest.get(key) for key in _OWNER}
        except (ValueError, AttributeError) as error:
            raise ConfigurationError(
                f"{path} is damaged ({error}); move {self.folder} away and run again (its calls are in the "
                "journal)"
            ) from None
        if there["models"] is None:
            raise ConfigurationError(
                f"{self.folder} holds a run of version 0.1, which can be analysed, scored and exported, but "
                "not continued; choose another output=DIR (calls in the same journal are not made again)"
            )
        here = {key: self._manifest[key] for key in _OWNER}
        if there != here:
            raise ConfigurationError(
                f"{self.folder} holds a run of another configuration ({_differences(there, here)}); "
                "choose another output=DIR, or move that run away"
            )
        if earlier := _earlier_versions(manifest, self._manifest["versions"]):
            self._manifest["earlier_versions"] = earlier


def _earlier_versions(manifest: Mapping[str, Any], now: Mapping[str, str]) -> list[Mapping[str, str]]:
    """Return the other versions under which earlier invocations played the run, each once."""
    found = [*manifest.get("earlier_versions", ()), manifest.get("versions", {})]
    return [each for number, each in enumerate(found) if each != now and each not in found[:number]]


def _warn_of_damage(problem: RecordError) -> None:
    warnings.warn(f"{problem}; its dialogue is replayed from the journal", stacklevel=2)


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _by_key(value: Mapping[str, Any]) -> bytes:
    """Return JSON with one line per key: indenting thousands of planned dialogues would take a second."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value[key])}" for key in value)
    return f"{{\n{lines}\n}}\n".encode()


def _differences(there: Any, here: Any, prefix: str = "") -> str:
    """Return the differences of two nested mappings in words, e.g. "seed: 0 there, 1 here"."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [k for k in sorted({*there, *here}) if there.get(k) != here.get(k)]
        return "; ".join(_differences(there.get(k), here.get(k), f"{prefix}.{k}".lstrip(".")) for k in keys)
    return f"{prefix}: {there!r} there, {here!r} here"
