"""The records of a run: `turns.jsonl`, and one segment per working process."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

from imug_tts.contracts.record import OUTCOMES, Record
from imug_tts.files import write_pieces
from imug_tts.records.compact import compact, whole
from imug_tts.records.manifest import SEGMENTS, TURNS, RecordError, one_of, read_manifest, reason_of

__all__ = [
    "Dialogue",
    "Line",
    "line_of",
    "merge_turns",
    "read_dialogues",
    "read_turns",
    "record_of",
    "sample_name",
    "segment_files",
    "segment_path",
    "turn_files",
]

_REQUIRED: Final = (
    *("run", "strategy", "history", "seed", "class", "domain", "task", "sample_id", "turn", "n_turns"),
    *("modality", "outcome", "score", "score_detail", "error", "cost", "response"),
)


class Line(NamedTuple):
    """One record and its place."""

    place: str
    """File and line number, for messages."""
    record: Record


class Dialogue(NamedTuple):
    """Consecutive records of one dialogue in a file."""

    name: str
    lines: list[Line]
    spans: list[tuple[int, int]]
    """For each line, the offset of its first byte and of the byte after its last."""

    @property
    def records(self) -> list[Record]:
        return [line.record for line in self.lines]

    @property
    def is_whole(self) -> bool:
        """Whether it is complete: it ends with its last turn, or with a failed turn that the next needs."""
        last = self.lines[-1].record
        stops = last["history"] == "own" and (last["response"] is None or last["response"]["output"] is None)
        turns = [line.record["turn"] for line in self.lines]
        return turns == list(range(1, len(turns) + 1)) and (stops or last["turn"] == last["n_turns"])


class _OnProblem(NamedTuple):
    """Callbacks for incomplete and damaged lines."""

    on_torn: Callable[[str], None]
    on_damage: Callable[[RecordError], None] | None


class _Copy(NamedTuple):
    """The places of a dialogue's records in one file."""

    file: IO[bytes]
    places: Sequence[str]
    spans: Sequence[tuple[int, int]]
    is_whole: bool

    def lines(self) -> Iterator[bytes]:
        for start, end in self.spans:
            self.file.seek(start)
            yield self.file.read(end - start).rstrip(b"\n") + b"\n"


_IGNORED: Final = _OnProblem(lambda place: None, lambda problem: None)


def read_turns(
    folder: Path | str,
    *,
    on_torn: Callable[[str], None] = lambda place: None,
    on_damage: Callable[[RecordError], None] | None = None,
) -> Iterator[Line]:
    """Yield the records of a run, in file order or, if there are segments, in planned order.

    Args:
        on_torn: called with the place of an incomplete last line, left by a kill; the line is skipped.
        on_damage: called with the error of each damaged line, which is skipped; by default the error is
            raised.

    Raises:
        RecordError: a line is damaged, or a file cannot be read.
    """
    folder = Path(folder)
    segments = segment_files(folder)
    if not segments:
        for dialogue in read_dialogues(folder / TURNS, on_torn=on_torn, on_damage=on_damage):
            yield from dialogue.lines
        return
    with ExitStack() as opened:
        for copy in _newest_copies(folder, segments, opened, _OnProblem(on_torn, on_damage)):
            for place, line in zip(copy.places, copy.lines(), strict=True):
                yield Line(place, record_of(line))


def read_dialogues(
    path: Path,
    start: int = 0,
    *,
    on_torn: Callable[[str], None] = lambda place: None,
    on_damage: Callable[[RecordError], None] | None = None,
) -> Iterator[Dialogue]:
    """Yield the dialogues of one file from byte `start` on; nothing if the file is missing.

    Arguments and errors are those of `read_turns`.
    """
    try:
        with open(path, "rb") as file:
            file.seek(start)
            yield from _dialogues(path, file, _OnProblem(on_torn, on_damage))
    except FileNotFoundError:
        return
    except OSError as error:
        raise RecordError(str(path), error.strerror or str(error)) from error


def segment_path(folder: Path, worker: str) -> Path:
    """Return the file to which a worker appends its dialogues."""
    return folder / SEGMENTS / f"{worker}.jsonl"


def segment_files(folder: Path) -> list[Path]:
    """Return the unmerged segments, oldest first; their names end with the time of creation."""
    return sorted((folder / SEGMENTS).glob("*.jsonl"), key=lambda path: (path.stem.rpartition("-")[2], path))


def turn_files(folder: Path) -> list[Path]:
    """Return every file that `read_turns` reads."""
    return [folder / TURNS, *segment_files(folder)]


def merge_turns(folder: Path, segments: Sequence[Path]) -> None:
    """Merge segments, given oldest first, into `turns.jsonl` in planned order, and remove them.

    No process may be writing to the segments.

    Raises:
        StorageError: the file cannot be written; the segments are kept.
    """
    with ExitStack() as opened:
        copies = _newest_copies(folder, segments, opened, _IGNORED)
        write_pieces(folder / TURNS, (line for copy in copies for line in copy.lines()))
    for segment in segments:
        segment.unlink(missing_ok=True)


def line_of(record: Record) -> bytes:
    """Return the line that stores the record and, as its last field `crc`, a checksum of the rest."""
    body = json.dumps(compact(record), separators=(",", ":")).encode()
    return body[:-1] + _crc_field(f"{zlib.crc32(body):08x}") + b"\n"


def record_of(line: bytes) -> Record:
    """Return the record that a line stores; reads lines of earlier versions, without checksum, too.

    Raises:
        ValueError: the line was changed after it was written, or was written by a later version.
        LookupError, TypeError: the line is damaged.
    """
    stored = json.loads(line)
    crc = stored.pop("crc", None)
    record = whole(stored)
    if crc is not None and f"{zlib.crc32(line.rstrip().removesuffix(_crc_field(crc)) + b'}'):08x}" != crc:
        raise ValueError("changed after it was written: the checksum crc does not fit")
    return record


def _crc_field(crc: str) -> bytes:
    return f',"crc":"{crc}"}}'.encode()


def sample_name(record: Record) -> str:
    """Return the name of the record's dialogue within its benchmark."""
    return f"{record['domain']}/{record['task']}/{record['sample_id']}"


def _newest_copies(
    folder: Path, segments: Sequence[Path], opened: ExitStack, on_problem: _OnProblem
) -> list[_Copy]:
    """Return one copy of each dialogue in planned order: the newest whole copy, or else the newest."""
    copies: dict[str, _Copy] = {}
    # `turns.jsonl` comes last: if another process merges and removes segments meanwhile, it holds them.
    for path in (*reversed(segments), folder / TURNS):
        with suppress(FileNotFoundError):
            file = opened.enter_context(path.open("rb"))
            for dialogue in _dialogues(path, file, on_problem):
                known = copies.get(dialogue.name)
                if known is None or (dialogue.is_whole and not known.is_whole):
                    places = [line.place for line in dialogue.lines]
                    copies[dialogue.name] = _Copy(file, places, dialogue.spans, dialogue.is_whole)
    planned = _planned(folder)
    return [copies[name] for name in sorted(copies, key=lambda name: planned.get(name, len(planned)))]


def _planned(folder: Path) -> dict[str, int]:
    """Return the position of each dialogue in the plan."""
    try:
        dialogues = read_manifest(folder).planned
    except RecordError:
        return {}
    return {dialogue.name: index for index, dialogue in enumerate(dialogues)}


def _dialogues(path: Path, file: IO[bytes], on_problem: _OnProblem) -> Iterator[Dialogue]:
    found: Dialogue | None = None
    for line, span in _lines(path, file, on_problem):
        name = sample_name(line.record)
        if found is None or found.name != name:
            if found is not None:
                yield found
            found = Dialogue(name, [], [])
        found.lines.append(line)
        found.spans.append(span)
    if found is not None:
        yield found


def _lines(path: Path, file: IO[bytes], on_problem: _OnProblem) -> Iterator[tuple[Line, tuple[int, int]]]:
    end = file.tell()
    for number, line in enumerate(file, 1):
        place, start, end = f"{path}, line {number}", end, end + len(line)
        if not line.endswith(b"\n") and not _is_json(line):
            on_problem.on_torn(place)
            return
        try:
            yield Line(place, _record(line)), (start, end)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            problem = RecordError(place, f"damaged ({reason_of(error)})")
            if on_problem.on_damage is None:
                raise problem from error
            on_problem.on_damage(problem)


def _record(line: bytes) -> Record:
    record = record_of(line)
    for key in _REQUIRED:
        record[key]
    one_of(OUTCOMES, record["outcome"], "outcome")
    if (record["score"] is not None) != (record["outcome"] == "scored"):
        raise ValueError(f"outcome {record['outcome']!r} with score {record['score']!r}")
    if record["score"] is not None and not 0 <= record["score"] <= 1:
        raise ValueError(f"score {record['score']!r} is outside 0 to 1")
    return record


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
