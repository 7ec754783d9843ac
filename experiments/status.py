"""Print the progress of a study's runs: turns, jobs and where they run, cost so far, time left.

    python experiments/status.py runs/study             once
    python experiments/status.py runs/study --watch     again every 10 seconds, until Ctrl-C or the end

The command reads only records and the files of launched jobs. So it works on every machine that sees the
folder, while jobs run or after they ended.

Exit status: 0, 2 when there is no study in the folder, or 130 after Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from experiments.command import guarded, wants_help
from experiments.standing import Standing, standing_of
from imug_tts.contracts import ConfigurationError
from imug_tts.launch import Job, SlurmJob, known_jobs
from imug_tts.records import RecordError, run_folders

__all__ = ["main"]

_EVERY_S: Final = 10.0
_HEAD: Final = ("arm", "history", "planned", "done", "failed", "job", "where", "calls", "images", "left")
_NUMBERS: Final = frozenset(["planned", "done", "failed", "calls", "images", "$", "left"])


@dataclass(frozen=True)
class _Arm:
    """A run with its progress, and the jobs of its last launch, one for each shard."""

    folder: Path
    standing: Standing
    jobs: Sequence[Job]


def main() -> int:
    return guarded(_main)


def _main() -> int:
    arguments = sys.argv[1:]
    folders = [argument for argument in arguments if not argument.startswith("-")]
    unknown = [a for a in arguments if a.startswith("-") and a not in ("--watch", "-h", "--help")]
    if wants_help(arguments):
        print((__doc__ or "").strip())
        return 0
    if len(folders) != 1 or unknown:
        given = " ".join(arguments) or "nothing"
        raise ConfigurationError(f"name one study, and --watch if you like, e.g. runs/study; given: {given}")
    while _look(Path(folders[0])) and "--watch" in arguments:
        time.sleep(_EVERY_S)
    return 0


def _look(study: Path) -> bool:
    """Print the progress of the study; return whether a job waits or runs.

    Raises:
        ConfigurationError: the folder has neither runs nor jobs, or records cannot be read.
    """
    jobs, in_slurm = known_jobs(study)
    names = sorted({folder.name for folder in run_folders(study) if folder.parent == study} | set(jobs))
    if not names:
        raise ConfigurationError(f"there is no study in {study}: no run and no job; name the folder of one")
    try:
        arms = [_Arm(study / name, standing_of(study / name), jobs.get(name, ())) for name in names]
    except RecordError as error:
        raise ConfigurationError(str(error)) from error
    print("\n".join([*_table(_rows(arms, in_slurm)), *_damaged(arms)]), flush=True)
    return any(job.is_alive(in_slurm) for arm in arms for job in arm.jobs)


def _rows(arms: Sequence[_Arm], in_slurm: Mapping[str, SlurmJob] | None) -> Iterator[tuple[str, ...]]:
    priced = any(arm.standing.cost["dollars"] for arm in arms)
    yield (*_HEAD[:-1], "$", _HEAD[-1]) if priced else _HEAD
    for arm in arms:
        now, manifest = arm.standing, arm.standing.manifest
        name = (manifest.strategy, manifest.history) if manifest else (arm.folder.name, "")
        costs = [f"{now.cost[key]:,.0f}" for key in ("calls", "images")]
        yield (
            *name,
            *(f"{count:,}" for count in (now.planned, now.done, now.failed)),
            *_jobs(arm, in_slurm),
            *costs,
            *([f"{now.cost['dollars']:,.2f}"] if priced else []),
            _left(arm, arms, in_slurm),
        )
    yield from _total(arms, priced)


def _total(arms: Sequence[_Arm], priced: bool) -> Iterator[tuple[str, ...]]:
    each = [arm.standing for arm in arms]
    costs = {key: sum(one.cost[key] for one in each) for key in ("calls", "images", "dollars")}
    counts = (sum(getattr(one, key) for one in each) for key in ("planned", "done", "failed"))
    yield (
        *("all", ""),
        *(f"{count:,}" for count in counts),
        *("", ""),
        *(f"{costs[key]:,.0f}" for key in ("calls", "images")),
        *([f"{costs['dollars']:,.2f}"] if priced else []),
        "",
    )


def _damaged(arms: Sequence[_Arm]) -> Iterator[str]:
    """A line for each run with damaged records, which count as missing."""
    for arm in arms:
        if arm.standing.damaged:
            first, *others = arm.standing.damaged
            more = f" (and {len(others):,} more)" if others else ""
            yield f"{first}{more}; counted as missing: the same command again replays the dialogue"


def _jobs(arm: _Arm, in_slurm: Mapping[str, SlurmJob] | None) -> tuple[str, str]:
    """The jobs of a run, and where they run or how they ended."""
    ids = [job.id for job in arm.jobs if job.id]
    shown = ids if len(ids) < 4 else [ids[0], f"... {ids[-1]}"]
    where = Counter(_where(job, in_slurm, arm.standing.is_complete) for job in arm.jobs)
    return " ".join(shown), "; ".join(f"{n} x {said}" if n > 1 else said for said, n in where.items())


def _where(job: Job, in_slurm: Mapping[str, SlurmJob] | None, is_complete: bool) -> str:
    state = job.state()
    if in_slurm is None and job.queue == "slurm":
        return "SLURM does not answer"
    if not job.is_alive(in_slurm):
        return _ended(job, is_complete)
    if job.queue == "local":
        return f"{state['host']} (process {state['pid']})" if state else "begins"
    known = (in_slurm or {})[job.id]
    return f"{known.place} ({known.state.lower()})"


def _ended(job: Job, is_complete: bool) -> str:
    """How a job ended that is neither running nor waiting; another may have completed the arm since."""
    how = job.outcome() if job.id else "not submitted"
    if how == "queued again":  # and left the queue: it was cancelled, or had nothing left to do
        how = "queued again and no longer in the queue"
    if how == "done" or not job.id:
        return "done" if is_complete else how
    said = f"{how}; log: {job.logs}"
    return f"done; this job: {said}" if is_complete else said


def _left(arm: _Arm, arms: Sequence[_Arm], in_slurm: Mapping[str, SlurmJob] | None) -> str:
    """The time that the arm's jobs need for all their arms, at the pace since the first of them began."""
    alive = [job for job in arm.jobs if job.is_alive(in_slurm)]
    if arm.standing.is_complete or not alive:
        return ""
    own = [each.standing for each in arms if each.folder.name in alive[0].runs]
    states = [state for job in alive if (state := job.state()) and state["end"] is None]
    if not states or any(each.manifest is None for each in own):
        return "?"
    state = min(states, key=lambda state: state["started"])
    done = sum(each.done for each in own) - state["done_before"]
    if done <= 0:
        return "?"
    missing = sum(each.planned - each.done for each in own)
    minutes = missing * (time.time() - state["started"]) / done / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.0f} min"


def _table(rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    head, *body = rows
    widths = [max(len(row[column]) for row in (head, *body)) for column in range(len(head))]
    for row in (head, *body):
        cells = zip(row, widths, head, strict=True)
        yield "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width) for cell, width, name in cells
        ).rstrip()


if __name__ == "__main__":
    sys.exit(main())
