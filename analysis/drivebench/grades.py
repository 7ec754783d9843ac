"""The grades of each question, read from the records of a group of runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from analysis.records import StudyError
from imug_tts.records import MANIFEST, Manifest, RecordError, read_manifest, read_turns, run_folders

__all__ = ["Grade", "Group", "Key", "read_group"]

_FULL_MARKS = 100


class Key(NamedTuple):
    """The key of one question."""

    kind: str
    scene: str
    frame: str
    number: str


class Grade(NamedTuple):
    """The grade of one answer; a field is None if the run has no value for it."""

    points: float | None = None
    """The judge's points divided by 100."""
    official_points: float | None = None
    """The points that the official code reads in the judge's first reply, divided by 100. NaN if it reads
    none, where the official evaluation stops with an error.
    """
    right: bool | None = None
    """Whether a multiple-choice answer is right, by our rule."""
    official_right: bool | None = None
    """Whether a multiple-choice answer is right, by the official rule."""
    asked: str = ""
    """A hash of question and reference answer, to detect different questions with the same key; empty if the
    record has none.
    """


@dataclass(frozen=True, kw_only=True)
class Group:
    """The grades of one model: of one run, or of several runs that differ only in a seed and are averaged."""

    name: str
    runs: tuple[Mapping[Key, Grade], ...]
    """The grades of each run, with an entry for every planned question."""
    folders: tuple[str, ...] = ()
    """The names of the runs."""
    benchmarks: frozenset[str]
    scorers: frozenset[str]
    """The identities of the judges."""

    @property
    def keys(self) -> set[Key]:
        return {key for run in self.runs for key in run}

    def values(self, key: Key, field: str) -> list[float]:
        """Return the values of a field of `Grade` for a question, one for each run that has a value."""
        found = (getattr(run[key], field) for run in self.runs if key in run)
        return [float(value) for value in found if value is not None]

    def mean(self, key: Key, field: str) -> float:
        """Return the mean of a field over the runs that have a value; NaN if no run has one."""
        values = self.values(key, field)
        return fmean(values) if values else math.nan


def read_group(name: str, folder: Path) -> Group:
    """Read the run in a folder or, if the folder is not a run, all runs below it.

    Raises:
        StudyError: there is no run, a file is damaged, a run answered another benchmark, or the runs differ
            in more than a seed.
    """
    folders = [folder] if (folder / MANIFEST).is_file() else sorted(run_folders(folder))
    if not folders:
        raise StudyError(
            f"{folder}: there is no run at or below it; make one with python experiments/drivebench.py"
        )
    try:
        manifests = [read_manifest(each) for each in folders]
        _check_one_model(manifests)
        runs = tuple(dict(_grades(manifest)) for manifest in manifests)
    except (RecordError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"{folder}: its records cannot be read ({error}); give the command that made them again"
        ) from error
    return Group(
        name=name,
        runs=runs,
        folders=tuple(each.name for each in folders),
        benchmarks=frozenset(manifest.benchmark for manifest in manifests),
        scorers=frozenset(manifest.models.get("scorer", "") for manifest in manifests) - {""},
    )


def _check_one_model(manifests: Sequence[Manifest]) -> None:
    """Check that runs to average answered the same data with the same strategy. Raises StudyError if not."""
    first, *others = manifests
    for other in others:
        recorded = first.backbone == other.backbone == "recorded"  # then `strategy` is the model's name
        for what in ("benchmark", *(() if recorded else ("strategy",))):
            here, there = getattr(first, what), getattr(other, what)
            if here != there:
                raise StudyError(
                    f"{first.folder} and {other.folder} cannot be averaged as runs of one model: their "
                    f"{what} is {here!r} and {there!r}; name each folder separately"
                )


def _grades(manifest: Manifest) -> Iterator[tuple[Key, Grade]]:
    if not manifest.benchmark.startswith("drivebench:"):
        raise StudyError(
            f"{manifest.folder} answered the benchmark {manifest.benchmark}, not drivebench; analyse it with "
            "python -m analysis"
        )
    found = {Key(*each[:4]): Grade() for each in manifest.planned}
    for _, record in read_turns(manifest.folder):
        key = Key(record["class"], record["domain"], record["task"], str(record["sample_id"]))
        found[key] = _grade(record)
    yield from found.items()


def _grade(record: Mapping[str, Any]) -> Grade:
    detail: Mapping[str, Any] = record["score_detail"] or {}
    official = detail.get("official_points")
    has_reply = "official_points" in detail
    return Grade(
        points=record["score"],
        official_points=None if not has_reply else math.nan if official is None else official / _FULL_MARKS,
        right=detail.get("right"),
        official_right=detail.get("official_right"),
        asked=detail.get("question_sha256", ""),
    )
