"""The journal of finished model calls: a run is resumed by replaying its calls from here.

A journal is a folder that any number of processes may share, on a network file system too:

    calls/<time>-<host>-<pid>.journal   append-only segments, one per writing process
    images/<xx>/<sha256>.png            content-addressed, written under another name and renamed
    quarantine/                         damaged lines, kept for a look; their calls are made again

A line is `<crc32 of the rest> <call id> <candidate as JSON>`. Every line is written with one
`write` before anyone uses the result, so a killed process loses only the calls in flight. A torn
last line is ignored. Nothing is promised against power loss: lines are not fsynced one by one.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from imug_tts.contracts import Candidate, Cost, StorageError
from imug_tts.dialogue import Image, Part, Text
from imug_tts.files import storage_errors, write_atomically

__all__ = ["Journal", "JournalWarning"]

_LARGE_BYTES: Final = 1 << 16
"""Smaller images stay in memory as long as their dialogue does, and are not read again."""


class JournalWarning(UserWarning):
    """A journal line was damaged; the call that it held is made again."""


class Journal:
    """Finished calls by identity. Without a folder it lives in memory alone. Any thread may append."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._lines: dict[str, bytes] = {}
        self._images: dict[str, Image] = {}
        self._read_up_to: dict[Path, int] = {}
        self._segment: int | None = None
        self._writing = threading.Lock()
        if folder is not None:
            with storage_errors(folder):
                (folder / "calls").mkdir(parents=True, exist_ok=True)
                (folder / "images").mkdir(exist_ok=True)
            self.refresh()

    def refresh(self) -> None:
        """Read what has been appended, by any process, since the last look."""
        if self.folder is None:
            return
        for path in sorted((self.folder / "calls").glob("*.journal")):
            if path.stat().st_size > self._read_up_to.get(path, 0):
                self._read_segment(path)

    def get(self, call_id: str) -> Candidate | None:
        """The finished call's candidate; None if it is unknown or its image is gone."""
        line = self._lines.get(call_id)
        if line is None:
            return None
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
            cost=Cost(**stored["cost"]),
        )

    def append(self, finished: Iterable[tuple[str, Candidate]]) -> None:
        """Store finished calls, images first, all lines with one write.

        Raises:
            StorageError: the disk is full or not writable. Everything appended before is safe.
        """
        lines = []
        bodies = {}
        for call_id, candidate in finished:
            if isinstance(candidate.output, Image):
                self.put_image(candidate.output)
            body = json.dumps(_candidate_to_json(candidate), separators=(",", ":")).encode()
            bodies[call_id] = body
            rest = call_id.encode() + b" " + body
            lines.append(b"%08x %s\n" % (zlib.crc32(rest), rest))
        if self.folder is not None and lines:
            self._write(self.folder, b"".join(lines))
        self._lines.update(bodies)

    def with_large_images_on_disk(self, candidate: Candidate) -> Candidate:
        """The appended candidate, with a large image replaced by a reference to the journal's file."""
        image = candidate.output
        if self.folder is None or not isinstance(image, Image) or not _is_large(image.source):
            return candidate
        return replace(candidate, output=Image(image.sha256, self.image_path(image.sha256)))

    def put_image(self, image: Image) -> Path:
        """Keep an image by its content; returns its file, which a journal in memory does not have."""
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
        if self._segment is not None:
            os.close(self._segment)
            self._segment = None

    def _write(self, folder: Path, data: bytes) -> None:
        with self._writing, storage_errors(folder):
            if self._segment is None:
                name = f"{time.time_ns()}-{socket.gethostname()}-{os.getpid()}.journal"
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                self._segment = os.open(folder / "calls" / name, flags, 0o644)
                self._read_up_to[folder / "calls" / name] = 1 << 62  # our own lines are known
            written = os.write(self._segment, data)
        if written < len(data):
            self.close()  # a torn line may only be the last of its segment
            raise StorageError(f"the disk of {folder} is full; free some space and start again")

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

    def _read_segment(self, path: Path) -> None:
        start = self._read_up_to.get(path, 0)
        with path.open("rb") as segment:
            segment.seek(start)
            data = segment.read()
        complete = data[: data.rfind(b"\n") + 1]
        self._read_up_to[path] = start + len(complete)
        for number, line in enumerate(complete.splitlines(), 1):
            crc, _, rest = line.partition(b" ")
            call_id, _, body = rest.partition(b" ")
            if crc == b"%08x" % zlib.crc32(rest):
                self._lines[call_id.decode()] = body
            else:
                self._quarantine(path, start, number, line)

    def _quarantine(self, path: Path, start: int, number: int, line: bytes) -> None:
        assert self.folder is not None
        kept = self.folder / "quarantine" / f"{path.stem}-{start}-{number}.txt"
        if not kept.exists():
            write_atomically(kept, line)
            warnings.warn(
                f"{path}, line {number}: damaged; kept in {kept}, and its call is made again",
                JournalWarning,
                stacklevel=2,
            )


def _is_large(source: bytes | Path) -> bool:
    return isinstance(source, bytes) and len(source) >= _LARGE_BYTES


def _candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    rare = {"reason": candidate.reason, "reward": candidate.reward}
    return {
        "output": None if candidate.output is None else candidate.output.to_json(),
        "finish": candidate.finish,
        "thought": candidate.thought,
        "p_yes": candidate.p_yes,
        "cost": candidate.cost.to_json(),
        **{key: value for key, value in rare.items() if value is not None},
    }
