"""Merges human labels with the records of a study into one long CSV."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.csv_rows import Row, read_rows, whole
from analysis.label.draw import KEY_COLUMNS
from analysis.records import Key, SampleKey, StudyError, described, load_study
from analysis.stored import stored_dialogues

__all__ = ["Merged", "merge"]

COLUMNS = (
    "run", "strategy", "seed", "class", "domain", "task", "sample_id", "turn", "n_turns", "modality",
    "history", "history_from", "outcome", "score", "nfe", "new_tokens", "seconds", "benchmark",
    "backbone", "human_score",
)  # fmt: skip
LABEL_COLUMNS = ("item", "point", "score")
FULL_MARKS = 5


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The turns of a study, with the human scores of labelled turns."""

    rows: list[dict[str, Any]]
    num_labelled: int

    def write(self, path: Path) -> None:
        """Write the long CSV that `python -m analysis` reads; `human_score` is blank for unlabelled turns."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows(self.rows)


def merge(study: Path, labels: Path, key: Path) -> Merged:
    """The records of `study` with their human scores: means over an item's points, divided by 5, in [0, 1].

    Raises:
        StudyError: the study cannot be read, a file lacks columns, a grade is not 0 to 5, or labels, key and
            study do not match.
    """
    records = load_study(study)
    scores = _human_scores(labels)
    keyed = {k: scores[item] for item, k in _read_key(key, labels, scores) if item in scores}
    rows = []
    for stored in stored_dialogues(records):
        for turn in stored.turns:
            human = keyed.pop(Key(*stored.arm, stored.sample, turn["turn"]), "")
            history, _, source = stored.arm.history.partition(":")
            arm = {"strategy": stored.arm.strategy, "history": history, "history_from": source}
            rows.append({**turn, **arm, "backbone": records.backbone, "human_score": human})
    if keyed:
        raise StudyError(
            f"{key}: {described(next(iter(keyed)))} is not in {study}; merge into the study that the "
            "sample was drawn from, with an unchanged key"
        )
    return Merged(rows=rows, num_labelled=sum(row["human_score"] != "" for row in rows))


def _human_scores(path: Path) -> dict[str, float]:
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    for place, row in read_rows(path, LABEL_COLUMNS):
        if row["point"] in grades[row["item"]]:
            raise StudyError(
                f"{place}: item {row['item']}, point {row['point']} is graded twice; keep one line"
            )
        grades[row["item"]][row["point"]] = _grade(place, row["score"])
    return {item: sum(points.values()) / len(points) / FULL_MARKS for item, points in grades.items()}


def _grade(place: str, text: str) -> float:
    try:
        grade = float(text.replace(",", "."))  # as spreadsheets write decimals in many languages
    except ValueError:
        grade = -1.0
    if not 0 <= grade <= FULL_MARKS:
        raise StudyError(f"{place}: score is {text!r}; grades go from 0 to {FULL_MARKS}")
    return grade


def _read_key(path: Path, labels: Path, scores: Mapping[str, float]) -> Iterator[tuple[str, Key]]:
    if not path.is_file():
        raise StudyError(
            f"{path}: no such file; name the key.csv that was written with the page: --key labels/key.csv"
        )
    rows = read_rows(path, KEY_COLUMNS)
    unknown = sorted(scores.keys() - {row["item"] for _, row in rows})
    if unknown:
        raise StudyError(
            f"{labels}: item {unknown[0]!r} is not in {path}; the two files come from different samples"
        )
    for place, row in rows:
        yield row["item"], _key(place, row)


def _key(place: str, row: Row) -> Key:
    sample = SampleKey(row["class"], row["domain"], row["task"], row["sample_id"])
    try:
        return Key(row["strategy"], row["history"], whole(row, "seed"), sample, whole(row, "turn"))
    except ValueError as error:
        raise StudyError(f"{place}: {error}") from None
