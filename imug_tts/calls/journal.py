"""The journal of completed model calls: a run resumes by replaying its calls from here.

A journal is a folder that any number of processes may share, on a network file system too:

    calls/<time>-<host>-<pid>.journal   append-only segments, one per writing process
    index/<time>-<host>-<pid>.index     byte offsets of the calls of a large segment (see `journal_index`)
    images/<xx>/<sha256>.png            content-addressed, written under a temporary name and renamed
    quarantine/                         copies of damaged lines; the calls of damaged lines are made again

A line is `<crc32 of the rest> <call id> <candidate as JSON>`. Every line is written with one `write` before
its result is used, so a killed process loses only the calls in flight. An incomplete last line is ignored.
Power loss can lose lines: they are not fsynced one by one.

Lines are read from their files and checked on access. So a process starts fast and needs little memory,
however large the journal is.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from imug_tts.calls.journal_index import Lines, Places, key_of, line_number, read_segment, scan_segment
from imug_tts.contracts import Candidate, Cost, StorageError
from imug_tts.dialogue import Image, Part, Text
from imug_tts.files import storage_errors, write_atomically

__all__ = ["Journal", "JournalWarning"]

_LOOK_AGAIN_S: Final = 2.0
_LARGE_BYTES: Final = 1 << 16
"""Images below this size stay in memory as long as their dialogue does, so that they are not read again."""


class JournalWarning(UserWarning):
    """A journal line was damaged; its call is made again."""


class Journal:
    """Completed calls by identity. Without a folder the journal is in memory only. Thread-safe."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._bodies: dict[str, bytes] = {}
        """The calls of a journal in memory."""
        self._images: dict[str, Image] = {}
        self._places = Places()
        self._segments: list[Path] = []
        self._read_up_to: dict[Path, int] = {}
        self._lines = Lines()
        self._looked_at = time.monotonic()
        self._segment: int | None = None
        self._own = self._own_size = 0
        """Index and size of the segment that this process writes."""
        self._changing = threading.RLock()
        if folder is not None:
            with storage_errors(folder):
                (folder / "calls").mkdir(parents=True, exist_ok=True)
                (folder / "images").mkdir(exist_ok=True)
            self.refresh()

    def refresh(self) -> None:
        """Read the lines that any process has appended since the last call of `refresh`."""
        if self.folder is None:
            return
        with self._changing:
            self._looked_at = time.monotonic()
            for path in sorted((self.folder / "calls").glob("*.journal")):
                if path not in self._read_up_to:
                    self._read_whole(path)
                elif path.stat().st_size > self._read_up_to[path]:
                    self._read_on(path)
            self._places.settle()

    def get(self, call_id: str) -> Candidate | None:
        """Return the candidate of a completed call; None if the call is unknown or its image is gone.

        If the call is unknown and the last `refresh` is a few seconds old, the journal is refreshed first.
        """
        known = self._find(call_id)
        if known is None and time.monotonic() - self._looked_at >= _LOOK_AGAIN_S:
            self.refresh()
            known = self._find(call_id)
        return known

    def append(self, finished: Iterable[tuple[str, Candidate]]) -> None:
        """Store completed calls: images first, then all lines with one write.

        Raises:
            StorageError: the disk is full or not writable. Calls appended before are safe.
        """
        lines: dict[str, bytes] = {}
        for call_id, candidate in finished:
            if isinstance(candidate.output, Image):
                self.put_image(candidate.output)
            body = json.dumps(_candidate_to_json(candidate), separators=(",", ":")).encode()
            if self.folder is None:
                self._bodies[call_id] = body
            rest = call_id.encode() + b" " + body
            lines[call_id] = b"%08x %s\n" % (zlib.crc32(rest), rest)
        if self.folder is not None and lines:
            self._write(self.folder, lines)

    def with_large_images_on_disk(self, candidate: Candidate) -> Candidate:
        """Return the candidate with a large image replaced by a reference to the journal's file."""
        image = candidate.output
        if self.folder is None or not isinstance(image, Image) or not _is_large(image.source):
            return candidate
        return replace(candidate, output=Image(image.sha256, self.image_path(image.sha256)))

    def put_image(self, image: Image) -> Path:
        """Store an image under its SHA-256; return its file, or an empty path for a journal in memory."""
        if self.folder is None:
            self._images.setdefault(image.sha256, image)
            return Path()
        path = self.image_path(image.sha256)
        if not path.exists():
            write_atomically(path, image.read())
        return path

    def image_path(self, sha256: str) -> Path:
        assert self.folder is not None, "a journal in memory has no files"
        return self.folder / "images" / sha256[:2] / f"{sha256}.png"

    def close(self) -> None:
        with self._changing:
            self._lines.close()
            if self._segment is not None:
                os.close(self._segment)
                self._segment = None

    def _write(self, folder: Path, lines: Mapping[str, bytes]) -> None:
        data = b"".join(lines.values())
        with self._changing, storage_errors(folder):
            if self._segment is None:
                self._begin_segment(folder / "calls")
            assert self._segment is not None
            written = os.write(self._segment, data)
            if written == len(data):
                self._know_own(lines)
        if written < len(data):
            self.close()  # begins a new segment: only the last line of a segment may be incomplete
            raise StorageError(f"the disk of {folder} is full; free some space and run the command again")

    def _begin_segment(self, calls: Path) -> None:
        path = calls / f"{time.time_ns()}-{socket.gethostname()}-{os.getpid()}.journal"
        self._segment = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._segments.append(path)
        self._own = len(self._segments) - 1
        self._own_size = 0
        self._read_up_to[path] = 1 << 62  # our own lines are known

    def _know_own(self, lines: Mapping[str, bytes]) -> None:
        for call_id, line in lines.items():
            self._places.add(key_of(call_id), self._own, self._own_size)
            self._own_size += len(line)

    def _find(self, call_id: str) -> Candidate | None:
        """Return the candidate of the newest undamaged line of a call; None if there is none."""
        return next(filter(None, map(self._candidate, self._lines_of(call_id))), None)

    def _lines_of(self, call_id: str) -> Iterator[bytes]:
        """Yield the stored candidates of a call as JSON, newest first."""
        if self.folder is None:
            if call_id in self._bodies:
                yield self._bodies[call_id]
            return
        with self._changing:
            places = list(self._places.of(key_of(call_id)))
        for segment, offset in places:
            line = self._lines.read(self._segments[segment], offset)
            crc, _, rest = line.partition(b" ")
            found, _, body = rest.partition(b" ")
            if crc != b"%08x" % zlib.crc32(rest):
                self._quarantine(self._segments[segment], offset, line)
            elif found.decode() == call_id:
                yield body

    def _candidate(self, line: bytes) -> Candidate | None:
        stored = json.loads(line)
        output = self._load_output(stored["output"])
        if stored["output"] is not None and output is None:
            return None
        return Candidate(
            output=output,
            finish=stored["finish"],
            thought=stored["thought"],
            reason=stored.get("reason"),
            p_yes=stored["p_yes"],
            reward=stored.get("reward"),
            source=stored.get("source"),
            cost=Cost(**stored["cost"]),
            shared_cost=Cost(**stored.get("shared_cost", {})),
        )

    def _load_output(self, stored: dict[str, str] | None) -> Part | None:
        if stored is None:
            return None
        if "text" in stored:
            return Text(stored["text"])
        sha256 = stored["image"]
        if self.folder is None:
            return self._images.get(sha256)
        path = self.image_path(sha256)
        return Image(sha256, path) if path.exists() and path.stat().st_size else None

    def _read_whole(self, path: Path) -> None:
        """Register all lines of a segment that was unknown before."""
        with storage_errors(path.parent):
            table, self._read_up_to[path] = read_segment(path, partial(self._quarantine, path))
        self._segments.append(path)
        self._places.add_table(len(self._segments) - 1, table)

    def _read_on(self, path: Path) -> None:
        """Register the lines that were appended to a known segment."""
        with storage_errors(path.parent):
            start = self._read_up_to[path]
            table, self._read_up_to[path] = scan_segment(path, start, partial(self._quarantine, path))
        segment = self._segments.index(path)
        for row in table:
            self._places.add(row[:2].tobytes(), segment, int(row[2]))

    def _quarantine(self, path: Path, offset: int, line: bytes) -> None:
        assert self.folder is not None
        kept = self.folder / "quarantine" / f"{path.stem}-{offset}.txt"
        if not kept.exists():
            write_atomically(kept, line)
            number = line_number(path, offset)
            warnings.warn(
                f"{path}, line {number}: damaged; kept in {kept}, and its call is made again",
                JournalWarning,
                stacklevel=2,
            )


def _is_large(source: bytes | Path) -> bool:
    return isinstance(source, bytes) and len(source) >= _LARGE_BYTES


def _candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    rare: dict[str, Any] = {
        "reason": candidate.reason,
        "reward": candidate.reward,
        "source": candidate.source,
    }
    if candidate.shared_cost != Cost():
        rare["shared_cost"] = candidate.shared_cost.to_json()
    return {
        "output": None if candidate.output is None else candidate.output.to_json(),
        "finish": candidate.finish,
        "thought": candidate.thought,
        "p_yes": candidate.p_yes,
        "cost": candidate.cost.to_json(),
        **{key: value for key, value in rare.items() if value is not None},
    }
