"""The state of the runs of a study on the console: turns, calls, problems, speed and time left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from imug_tts.contracts import PlannedRun, Record, Summary, count_pools, count_verdicts

__all__ = ["Counts", "Progress", "RunProgress"]

_ENOUGH: Final = 3
"""Fewest pools or verdicts that give a warning if all are affected."""
_LEAST_CLOCK_S: Final = 1.0
"""Seconds of work from which on a speed is shown."""


@dataclass
class Counts:
    """Counts of turns, and of problems that are worth showing during a run."""

    turns: int = 0
    failed: int = 0
    refused: int = 0
    unscored: int = 0
    verdicts: int = 0
    unread: int = 0
    pools: int = 0
    identical: int = 0

    @classmethod
    def of(cls, record: Record) -> Counts:
        """Return the counts of one turn."""
        outcome = record["outcome"]
        verdicts, unread = count_verdicts(record)
        pools, identical = count_pools(record)
        return cls(
            turns=1,
            failed=outcome not in ("scored", "unscored", "refused"),
            refused=outcome == "refused",
            unscored=outcome == "unscored",
            verdicts=verdicts,
            unread=unread,
            pools=pools,
            identical=identical,
        )

    @classmethod
    def of_summary(cls, summary: Summary) -> Counts:
        return cls(
            turns=sum(summary.outcomes.values()),
            failed=summary.failed,
            refused=summary.refused,
            unscored=summary.unscored,
            verdicts=summary.verdicts,
            unread=summary.unread_verdicts,
            pools=summary.pools,
            identical=summary.identical_pools,
        )

    def __add__(self, other: Counts) -> Counts:
        mine, others = vars(self), vars(other)
        return Counts(**{name: mine[name] + others[name] for name in mine})

    def problems(self) -> Iterator[str]:
        """Yield each kind of problem in words; nothing if there is none."""
        if self.failed:
            yield f"{self.failed:,} failed"
        if self.refused:
            yield f"{self.refused:,} refused"
        if self.unscored:
            yield f"{self.unscored:,} need a scorer"
        if self.unread:
            yield _share(self.unread, self.verdicts, "verdicts unread")
        if self.identical:
            yield _share(self.identical, self.pools, "candidate pools identical")

    @property
    def reads_nothing(self) -> bool:
        """Whether no verdict could be parsed."""
        return self.unread == self.verdicts >= _ENOUGH

    @property
    def selects_nothing(self) -> bool:
        """Whether all pools had byte-identical candidates."""
        return self.identical == self.pools >= _ENOUGH


def _share(part: int, whole: int, what: str) -> str:
    if part == whole >= _ENOUGH:
        return f"WARNING: all {whole:,} {what}"
    return f"{part:,} of {whole:,} {what} ({part / whole:.0%})"


@dataclass
class RunProgress:
    """The progress of one run."""

    plan: PlannedRun
    number: int
    """The run's number in the study, from 1."""
    weight: float
    """Work per turn: its calls, or 1 if the calls of some run are unknown."""
    counts: Counts = field(default_factory=Counts)
    calls: int = 0
    is_under_way: bool = False
    is_over: bool = False

    @property
    def left(self) -> float:
        """Remaining work, in calls or turns."""
        return 0.0 if self.is_over else self.weight * (self.plan.planned - self.counts.turns)


class Progress:
    """The progress of all runs of a study."""

    def __init__(self, plans: Sequence[PlannedRun]) -> None:
        knows_calls = all(plan.calls and plan.planned for plan in plans)
        self.runs = {
            plan.name: RunProgress(
                plan, number, weight=(plan.calls or 0) / plan.planned if knows_calls else 1.0
            )
            for number, plan in enumerate(plans, 1)
        }
        self.latest = next(iter(self.runs), "")
        """The run of the latest event."""
        self._work = 0.0
        self._turns = 0
        self._clock: float | None = None
        """When the first turn was computed: turns of earlier invocations and loading weights do not count."""

    def call(self, run: PlannedRun) -> None:
        self._of(run).calls += 1

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        progress = self._of(run)
        progress.counts += Counts.of(record)
        if replayed:
            return
        if self._clock is None:
            self._clock = time.monotonic()
            return  # the calls of this turn were made before the clock started
        self._work += progress.weight
        self._turns += 1

    def finish(self, run: PlannedRun) -> None:
        progress = self._of(run)
        progress.is_under_way, progress.is_over = False, True

    @property
    def under_way(self) -> list[RunProgress]:
        return [run for run in self.runs.values() if run.is_under_way]

    @property
    def counts(self) -> Counts:
        """The counts of all runs together."""
        return sum((run.counts for run in self.runs.values()), Counts())

    @property
    def planned(self) -> int:
        """Planned turns of all runs."""
        return sum(run.plan.planned for run in self.runs.values())

    def head(self, run: PlannedRun) -> str:
        """Return the run's number and title."""
        if len(self.runs) == 1:
            return f"run  {run.title}"
        return f"run {self.runs[run.name].number}/{len(self.runs)}  {run.title}"

    def details(self) -> list[str]:
        """Return calls made, speed, time left and problems of all runs."""
        calls = sum(run.calls for run in self.runs.values())
        made = [f"{calls:,} call{'s' if calls > 1 else ''}"] if calls else []
        return [*made, *self._speed(), *self._problems()]

    def _of(self, run: PlannedRun) -> RunProgress:
        self.latest = run.name
        progress = self.runs[run.name]
        progress.is_under_way = not progress.is_over
        return progress

    def _speed(self) -> Iterator[str]:
        elapsed = 0.0 if self._clock is None else time.monotonic() - self._clock
        if elapsed >= _LEAST_CLOCK_S and self._work:
            yield f"{self._turns / elapsed:.1f} turns/s"
            yield f"about {_clock(sum(run.left for run in self.runs.values()) * elapsed / self._work)} left"

    def _problems(self) -> Iterator[str]:
        yield from self.counts.problems()
        if len(self.runs) > 1:
            runs = self.runs.values()
            yield from _warning("all verdicts unread", [r.number for r in runs if r.counts.reads_nothing])
            yield from _warning(
                "all candidate pools identical", [r.number for r in runs if r.counts.selects_nothing]
            )


def _warning(what: str, numbers: Sequence[int]) -> Iterator[str]:
    if numbers:
        yield f"WARNING: {what} in run {' '.join(map(str, numbers))}"


def _clock(seconds: float) -> str:
    """Return seconds as "m:ss" or "h:mm:ss"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
