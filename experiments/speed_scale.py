"""Figures of speed.py at full size: the journal of 40 arms, and a finished run of a whole benchmark.

python -m experiments.speed_scale FOLDER [CALLS]     writes such a journal
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from experiments.speed_process import Finished, finish

__all__ = [
    "journal_index_cpu_s",
    "journal_start_cpu_s",
    "journal_start_mb",
    "resume_peak_mb",
    "write_journal",
]

CALLS: Final = 3_000_000
SEGMENTS: Final = 80
"""Of 40 arms in two jobs each."""
DIALOGUES: Final = 3009
"""Of four turns each: as many turns as the full benchmark has."""

_START: Final = """
import sys
from pathlib import Path
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Arm, Run, Share, execute
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone

folder, journal, dialogues = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
best = BestOfN(n=8, judge=BackboneJudge(), inner=Direct())
arm = Arm(backbone=ToyBackbone(), strategy=best, benchmark=ToyBenchmark(num_samples=dialogues))
run = Run(arm=arm, folder=folder, config={})
[summary] = execute([run], journal=journal, share=Share(shard=0, shards=8))
assert not summary.missing
"""
"""A process that works on one arm, whose model answers at once."""


def journal_index_cpu_s() -> float:
    """Processor seconds of the first process that meets a journal without indexes."""
    return _starts()[0].cpu_s


def journal_start_cpu_s() -> float:
    """Processor seconds of a process that has a shard of an arm to do, beside three million calls."""
    return _starts()[1].cpu_s


def journal_start_mb() -> float:
    """Peak resident memory of the same, in MB; of the one that makes the indexes if that is more."""
    return max(each.peak_mb for each in _starts())


def resume_peak_mb() -> float:
    """Peak resident memory of a process that finds a run of 12,036 turns of Best-of-8 finished, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        run, journal = Path(folder, "run"), Path(folder, "journal")
        finish("-c", _START, run, journal, 1)
        _multiply(run)
        return finish("-c", _START, run, journal, DIALOGUES).peak_mb


def write_journal(folder: Path, calls: int = CALLS, segments: int = SEGMENTS) -> None:
    """Write a journal of so many text calls, some 430 bytes each, in so many segments."""
    (folder / "calls").mkdir(parents=True)
    (folder / "images").mkdir()
    each = -(-calls // segments)
    for number in range(segments):
        name = f"{1_700_000_000_000_000_000 + number}-node{number % 8}-{1000 + number}.journal"
        with (folder / "calls" / name).open("wb") as segment:
            segment.writelines(_lines(range(number * each, min(calls, (number + 1) * each))))


def _lines(numbers: Sequence[int]) -> Iterator[bytes]:
    text = "The square is red and stands at b2, as it was asked. " * 3
    cost = '{"calls":1,"prompt_tokens":812,"new_tokens":40,"seconds":0.0317}'
    body = (
        f'{{"output":{{"text":"{text}"}},"finish":"stop","thought":null,"p_yes":null,"cost":{cost}}}'.encode()
    )
    for number in numbers:
        rest = b"%s %s" % (hashlib.sha256(b"%d" % number).hexdigest().encode(), body)
        yield b"%08x %s\n" % (zlib.crc32(rest), rest)


@cache
def _starts() -> list[Finished]:
    """Two processes, one after the other, beside a new journal of three million calls."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_journal(folder / "journal")
    return [finish("-c", _START, folder / f"run{n}", folder / "journal", 8) for n in range(2)]


def _multiply(run: Path) -> None:
    """Make a run of one dialogue one of many."""
    manifest, turns = run / "manifest.json", run / "turns.jsonl"
    known = manifest.read_text()
    manifest.write_text(known.replace('"num_samples": 1', f'"num_samples": {DIALOGUES}'))
    lines = turns.read_bytes().splitlines(keepends=True)
    with turns.open("wb") as file:
        for number in range(DIALOGUES):
            own = b'"sample_id":"%d"' % number
            file.writelines(line.replace(b'"sample_id":"0"', own) for line in lines)


if __name__ == "__main__":
    write_journal(Path(sys.argv[1]), *map(int, sys.argv[2:]))
