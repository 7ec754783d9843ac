"""Figures of speed.py at full size: the journal of 40 arms, and a complete run of a whole benchmark.

python -m experiments.speed_scale FOLDER [CALLS]     writes such a journal
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from experiments.speed_process import Finished, finish
from imug_tts.records import arm_key, line_of, read_turns, with_digest

__all__ = [
    "dry_run_cpu_s",
    "dry_run_mb",
    "journal_index_cpu_s",
    "journal_start_cpu_s",
    "journal_start_mb",
    "resume_peak_mb",
    "resume_study_cpu_s",
    "status_cpu_s",
    "write_journal",
]

CALLS: Final = 3_000_000
SEGMENTS: Final = 80
"""Number of journal segments: of 40 arms in two jobs each."""
DIALOGUES: Final = 3009
"""Number of dialogues of four turns each: as many turns as in the full benchmark."""

ARMS: Final = 12
ROOT: Final = Path(__file__).parents[1]
STATUS: Final = ROOT / "experiments" / "status.py"

_ARM: Final = """
import sys
from pathlib import Path
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Arm, Run, Share, execute
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone

folder, journal, dialogues = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
best = BestOfN(n=8, judge=BackboneJudge(), inner=Direct())
toys, backbone = ToyBenchmark(dialogues), ToyBackbone()

def run_of(seed, folder):
    arm = Arm(backbone=backbone, strategy=best, benchmark=toys, seed=seed)
    return Run(arm=arm, folder=folder, config={})
"""
_START: Final = f"""{_ARM}
[summary] = execute([run_of(0, folder)], journal=journal, share=Share(shard=0, shards=8))
assert not summary.missing
"""
"""The program of a process that works on one arm, whose model answers at once."""
_RESUME: Final = f"""{_ARM}
summaries = execute([run_of(n, folder / f"arm{{n}}") for n in range({ARMS})], journal=journal)
assert not any(summary.missing for summary in summaries)
"""
"""The program of a process that works on all arms of a study."""
_DRY_RUN: Final = f"""{_ARM}
sys.path.insert(0, "{ROOT}")
from experiments.dry_run import print_plans
print_plans([run_of(n, folder / f"arm{{n}}") for n in range({ARMS})], journal)
"""


def journal_index_cpu_s() -> float:
    """CPU seconds of the first process that opens a journal without indexes."""
    return _starts()[0].cpu_s


def journal_start_cpu_s() -> float:
    """CPU seconds of a process that works on a shard of an arm, with a journal of three million calls."""
    return _starts()[1].cpu_s


def journal_start_mb() -> float:
    """Peak resident memory of that process in MB, or of the one that creates the indexes if larger."""
    return max(each.peak_mb for each in _starts())


def resume_peak_mb() -> float:
    """Peak resident memory of an invocation on a complete run of 12,036 turns of Best-of-8, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        run, journal = Path(folder, "run"), Path(folder, "journal")
        finish("-c", _START, run, journal, 1)
        _multiply(run)
        return finish("-c", _START, run, journal, DIALOGUES).peak_mb


def resume_study_cpu_s() -> float:
    """Return the CPU seconds of an invocation on a study of 12 complete arms, each with 12,036 turns."""
    study = _study()
    return finish("-c", _RESUME, study, study / "journal", DIALOGUES).cpu_s


def status_cpu_s() -> float:
    """Return the CPU seconds of `experiments/status.py` on the study of `resume_study_cpu_s`."""
    return finish(STATUS, _study()).cpu_s


def dry_run_cpu_s() -> float:
    """Return the CPU seconds of `+dry_run=true` for 12 arms, with a journal of three million calls."""
    return _dry_run().cpu_s


def dry_run_mb() -> float:
    """Return the peak resident memory of the dry run of `dry_run_cpu_s`, in MB."""
    return _dry_run().peak_mb


def write_journal(folder: Path, calls: int = CALLS, segments: int = SEGMENTS) -> None:
    """Write a journal of `calls` text calls, some 430 bytes each, in `segments` segments."""
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
def _folder() -> Path:
    """A folder with a new journal of three million calls without indexes."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_journal(folder / "journal")
    return folder


@cache
def _starts() -> list[Finished]:
    """The measurements of two consecutive processes with that journal."""
    folder = _folder()
    return [finish("-c", _START, folder / f"run{n}", folder / "journal", 8) for n in range(2)]


@cache
def _dry_run() -> Finished:
    folder = _folder()
    return finish("-c", _DRY_RUN, folder, folder / "journal", DIALOGUES)


@cache
def _study() -> Path:
    """The folder of a complete study, whose dialogues are copies of one."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    finish("-c", _RESUME, folder, folder / "journal", 1)
    for number in range(ARMS):
        _multiply(folder / f"arm{number}")
    return folder


def _multiply(run: Path) -> None:
    """Turn a run of one dialogue into a run of `DIALOGUES` copies, written as the engine writes them."""
    manifest, records = run / "manifest.json", [record for _, record in read_turns(run)]
    known = json.loads(manifest.read_text().replace('"num_samples": 1', f'"num_samples": {DIALOGUES}'))
    del known["digest"]
    arm = known["arm"] = arm_key(known["strategy"], known["arm_identity"])
    manifest.write_text(json.dumps(with_digest(known)))
    with (run / "turns.jsonl").open("wb") as file:
        for number in range(DIALOGUES):
            own = {"arm": arm, "sample_id": str(number)}
            file.writelines(line_of({**record, **own}) for record in records)


if __name__ == "__main__":
    write_journal(Path(sys.argv[1]), *map(int, sys.argv[2:]))
