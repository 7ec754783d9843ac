"""The byte offset of each call in a journal's segments, in 24 bytes per call.

The journal of a large study has millions of lines, of which one process needs a few. So lines stay in their
files, and a process holds a table: the first 16 bytes of each call's id, and the offset of its line. For
large segments the table is stored in an index file, which the next process reads instead of the segment:

    imug index 1\\n <bytes covered> <crc32 of their end> <crc32 of the entries> <entries>

An index that does not match its segment is rebuilt. An index guarantees nothing about lines: each line is
checked when it is read.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imug_tts.contracts import StorageError
from imug_tts.files import storage_errors, write_atomically

__all__ = ["Lines", "Places", "index_path", "key_of", "line_number", "read_segment", "scan_segment"]

_MAGIC: Final = b"imug index 1\n"
_HEAD: Final = struct.Struct("<QII")
_CHECKED_BYTES: Final = 4096
"""Number of bytes before the end of the indexed part that are compared by checksum."""
_KEPT_FROM_BYTES: Final = 1 << 20
"""Number of unindexed bytes of a segment from which on an index is written."""
_LINE_BYTES: Final = 2048
"""First read size; most lines are shorter."""
_MOST_OPEN: Final = 64
_OFFSET_BITS: Final = 40
_FOLD_AT: Final = 200_000
"""Size of the dict of recent lines at which they are moved into the sorted table, to save memory."""

Table = NDArray[np.uint64]
"""One row per line: two halves of a key, and the byte offset of the line."""


class Places:
    """The places of each call's lines. A place is a segment's index and a byte offset."""

    def __init__(self) -> None:
        self._recent: dict[bytes, int] = {}
        self._tables: list[Table] = []
        self._sorted: Table = np.empty((3, 0), np.uint64)

    def add(self, key: bytes, segment: int, offset: int) -> None:
        """Add the place of a call's newest line."""
        self._recent[key] = segment << _OFFSET_BITS | offset
        if len(self._recent) >= _FOLD_AT:
            self._fold()

    def add_table(self, segment: int, table: Table) -> None:
        """Add the places of many older lines; they are found after the next `settle`."""
        placed = table.T.copy()
        placed[2] |= np.uint64(segment << _OFFSET_BITS)
        self._tables.append(placed)

    def settle(self) -> None:
        """Merge the tables that `add_table` was given into the sorted table."""
        if self._tables:
            columns = np.concatenate([self._sorted, *self._tables], axis=1)
            self._tables.clear()
            self._sorted = columns[:, np.argsort(columns[0], kind="stable")]

    def of(self, key: bytes) -> Iterator[tuple[int, int]]:
        """Yield the places of a call's lines, the newest first."""
        recent = self._recent.get(key)
        if recent is not None:
            yield _split(recent)
        first, second = np.frombuffer(key, "<u8")
        firsts, seconds, places = self._sorted
        end = int(np.searchsorted(firsts, first, "right"))
        while end and firsts[end - 1] == first:
            end -= 1
            if seconds[end] == second:
                yield _split(int(places[end]))

    def _fold(self) -> None:
        keys = np.frombuffer(b"".join(self._recent), "<u8").reshape(-1, 2)
        places = np.fromiter(self._recent.values(), np.uint64, len(self._recent))
        self._tables.append(np.vstack([keys.T, places]))
        self.settle()
        self._recent = {}


class Lines:
    """Reads single lines of many files, and keeps the most recent files open. Thread-safe."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}
        self._using = threading.Lock()

    def read(self, path: Path, offset: int) -> bytes:
        """Return the line at a byte offset, without its newline. Raises StorageError if the file is gone."""
        size = _LINE_BYTES
        with self._using, storage_errors(path.parent):
            file = self._file(path)
            while b"\n" not in (data := os.pread(file, size, offset)) and len(data) == size:
                size *= 4
        return data.partition(b"\n")[0]

    def close(self) -> None:
        with self._using:
            for file in self._open.values():
                os.close(file)
            self._open.clear()

    def _file(self, path: Path) -> int:
        if path not in self._open:
            if len(self._open) >= _MOST_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[path] = os.open(path, os.O_RDONLY)
        return self._open[path]


class _Read(NamedTuple):
    """The indexed part of a segment."""

    table: Table
    end: int
    """The byte after the last complete line."""


def key_of(call_id: str) -> bytes:
    """Return the first 16 bytes of a call id, which is a hash; of any other id, 16 bytes of its SHA-256."""
    if len(call_id) == 64:
        with suppress(ValueError):
            return bytes.fromhex(call_id[:32])
    return hashlib.sha256(call_id.encode()).digest()[:16]


def index_path(segment: Path) -> Path:
    """Return the index file of a segment."""
    return segment.parents[1] / "index" / f"{segment.stem}.index"


def line_number(segment: Path, offset: int) -> int:
    """Return the number of the line at a byte offset, counted from 1."""
    with segment.open("rb") as file:
        return file.read(offset).count(b"\n") + 1


def read_segment(segment: Path, on_damage: Callable[[int, bytes], None]) -> tuple[Table, int]:
    """Return the table of a segment, and the byte after its last complete line.

    Args:
        on_damage: called with offset and content of every damaged line that no index covers yet.

    Raises:
        StorageError: the segment cannot be read.
    """
    known = _load(segment)
    table, end = scan_segment(segment, known.end, on_damage)
    table = np.concatenate([known.table, table])
    if end - known.end >= _KEPT_FROM_BYTES:
        with suppress(StorageError):  # the journal may be read-only
            _store(segment, _Read(table, end))
    return table, end


def scan_segment(segment: Path, start: int, on_damage: Callable[[int, bytes], None]) -> tuple[Table, int]:
    """Return what `read_segment` returns, for the lines from byte `start` on; uses no index."""
    keys, offsets = bytearray(), array("Q")
    with segment.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                break
            if line[:8] == b"%08x" % zlib.crc32(memoryview(line)[9:-1]):
                keys += key_of(line[9 : line.index(b" ", 9)].decode())
                offsets.append(start)
            else:
                on_damage(start, line[:-1])
            start += len(line)
    columns = np.frombuffer(bytes(keys), "<u8").reshape(-1, 2), np.frombuffer(offsets, "<u8").reshape(-1, 1)
    return np.hstack(columns).astype(np.uint64, copy=False), start


def _load(segment: Path) -> _Read:
    """Return the indexed part of a segment; an empty part if no valid index exists."""
    nothing = _Read(np.empty((0, 3), np.uint64), 0)
    try:
        data = index_path(segment).read_bytes()
    except OSError:
        return nothing
    begin = len(_MAGIC) + _HEAD.size
    if not data.startswith(_MAGIC) or len(data) < begin:
        return nothing
    end, crc_of_end, crc = _HEAD.unpack_from(data, len(_MAGIC))
    entries = memoryview(data)[begin:]
    if zlib.crc32(entries) != crc or _crc_of_end(segment, end) != crc_of_end:
        return nothing
    return _Read(np.frombuffer(entries, "<u8").reshape(-1, 3).astype(np.uint64, copy=False), end)


def _store(segment: Path, read: _Read) -> None:
    entries = np.ascontiguousarray(read.table, "<u8").tobytes()
    head = _HEAD.pack(read.end, _crc_of_end(segment, read.end) or 0, zlib.crc32(entries))
    write_atomically(index_path(segment), _MAGIC + head + entries)


def _crc_of_end(segment: Path, end: int) -> int | None:
    """Return the CRC-32 of the bytes before `end` in a segment; None if no line ends there."""
    with segment.open("rb") as file:
        start = max(0, end - _CHECKED_BYTES)
        file.seek(start)
        data = file.read(end - start)
    return zlib.crc32(data) if len(data) == end - start and data.endswith(b"\n") else None


def _split(place: int) -> tuple[int, int]:
    return place >> _OFFSET_BITS, place & ((1 << _OFFSET_BITS) - 1)
