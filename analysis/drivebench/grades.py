"""The grades that the runs of a group have in their records, question by question."""

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
    """Names one question."""

    kind: str
    scene: str
    frame: str
    number: str


class Grade(NamedTuple):
    """What one run has of one question; None where it has nothing."""

    points: float | None = None
    """The judge's, 0 to 1."""
    official_points: float | None = None
    """As the official code reads the judge's first reply, over 100; NaN where it reads nothing and ends."""
    right: bool | None = None
    official_right: bool | None = None
    asked: str = ""
    """A hash of question and reference, to tell other questions of that name; empty for no answer."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """One model: a run, or runs that differ in a seed alone and are averaged."""

    name: str
    runs: tuple[Mapping[Key, Grade], ...]
    """The grades of each run; all planned questions are there."""
    folders: tuple[str, ...] = ()
    """The names of the runs."""
    benchmarks: frozenset[str]
    scorers: frozenset[str]
    """The identities of the judges."""

    @property
    def keys(self) -> set[Key]:
        return {key for run in self.runs for key in run}

    def values(self, key: Key, field: str) -> list[float]:
        """What the runs have of a question in a field of `Grade`."""
        found = (getattr(run[key], field) for run in self.runs if key in run)
        return [float(value) for value in found if value is not None]

    def mean(self, key: Key, field: str) -> float:
        """The mean over the runs that have a value; NaN where none has."""
        values = self.values(key, field)
        return fmean(values) if values else math.nan


def read_group(name: str, folder: Path) -> Group:
    """The run in a folder, or else the runs below it.

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
            f"{folder}: its records cannot be read ({error}); run the command that made it again"
        ) from error
    return Group(
        name=name,
        runs=runs,
        folders=tuple(each.name for each in folders),
        benchmarks=frozenset(manifest.benchmark for manifest in manifests),
        scorers=frozenset(manifest.models.get("scorer", "") for manifest in manifests) - {""},
    )


def _check_one_model(manifests: Sequence[Manifest]) -> None:
    """Refuse to average runs that answered different data, or by different strategies."""
    first, *others = manifests
    for other in others:
        recorded = first.backbone == other.backbone == "recorded"  # then each is called as its model
        for what in ("benchmark", *(() if recorded else ("strategy",))):
            here, there = getattr(first, what), getattr(other, what)
            if here != there:
                raise StudyError(
                    f"{first.folder} and {other.folder} are not runs of one model, to be averaged: their "
                    f"{what} is {here!r} and {there!r}; name each folder by itself"
                )


def _grades(manifest: Manifest) -> Iterator[tuple[Key, Grade]]:
    if not manifest.benchmark.startswith("drivebench:"):
        raise StudyError(
            f"{manifest.folder} answered the benchmark {manifest.benchmark}, and not drivebench; analyse it "
            "with python -m analysis"
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
