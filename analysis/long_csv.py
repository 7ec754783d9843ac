"""Reads a long CSV, one row per turn, into a `Study`.

Required columns: strategy, seed, class, domain, task, sample_id, turn, modality, history, score. Known beside
them: run, outcome, step_score, nfe, new_tokens, seconds, num_candidates, human_score, second_score (another
pass of the scorer), dynamic (1 for a question about what the model itself drew), history_from (whose outputs
a swapped history holds), benchmark, backbone. Others are ignored.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from analysis.csv_rows import Row, number, read_rows, whole
from analysis.names import swapped
from analysis.records import (
    Cost,
    Key,
    Record,
    SampleKey,
    Study,
    StudyError,
    check_no_duplicates,
)
from imug_tts.contracts.record import HISTORIES, OUTCOMES

__all__ = ["load_csv"]

REQUIRED = (
    "strategy", "seed", "class", "domain", "task", "sample_id", "turn", "modality", "history", "score"
)  # fmt: skip
MODALITIES = {"image": "image", "text": "text", "mcq": "text"}
MAX_TURN = 1000


def load_csv(path: Path) -> Study:
    """Read the turns of a study from `path`.

    A row whose score is empty or NaN is a turn without a score: it counts as missing, with a warning.

    Raises:
        StudyError: a column is missing, a value is not allowed, two rows hold the same turn, or the rows have
            different benchmarks or backbones.
    """
    rows = read_rows(path, REQUIRED)
    if not rows:
        raise StudyError(f"{path}: no rows below the header; export one row per turn")
    records = tuple(_read(place, row) for place, row in rows)
    check_no_duplicates(records)
    return Study(
        folder=path,
        benchmark=_only_one(path, rows, "benchmark") or path.stem,
        backbone=_only_one(path, rows, "backbone") or "unnamed model",
        records=records,
        planned={record.key: record.modality for record in records},
        num_candidates=_num_candidates(rows),
        oracles=frozenset(r.key.strategy for r in records if r.oracle),
        num_runs=len({row.get("run") or _arm(row) for _, row in rows}),
        arms={},
        warnings=tuple(_warnings(path, records)),
    )


def _read(place: str, row: Row) -> Record:
    try:
        return _record(place, row)
    except ValueError as error:
        raise StudyError(f"{place}: {error}") from None


def _record(place: str, row: Row) -> Record:
    score = _unit(row, "score")
    outcome = _one_of(OUTCOMES, row, "outcome") if row.get("outcome") else "scored"
    if score is not None and outcome != "scored":
        raise ValueError(f"outcome {outcome!r} with score {score:g}; only a scored turn has a score")
    return Record(
        key=_key(row),
        oracle=row["strategy"].startswith("oracle_"),
        modality=MODALITIES[_one_of(tuple(MODALITIES), row, "modality")],
        outcome=outcome,
        score=score,
        step_score=_unit(row, "step_score"),
        human=_unit(row, "human_score"),
        second=_unit(row, "second_score"),
        dynamic=(row.get("dynamic") or "").strip().lower() in ("1", "1.0", "true", "yes"),
        multiple_choice=row["modality"].strip() == "mcq",
        cost=_cost(row),
        place=place,
    )


def _key(row: Row) -> Key:
    strategy, history = row["strategy"].strip(), _one_of(HISTORIES, row, "history")
    if strategy in ("", "all"):
        raise ValueError(f'strategy is {strategy!r}; give it a name other than "all"')
    if history == "swap":
        history = swapped(row.get("history_from") or _no_source())
    turn = whole(row, "turn")
    if not 1 <= turn <= MAX_TURN:
        raise ValueError(f"turn is {turn}; turns count from 1 to {MAX_TURN}")
    return Key(strategy, history, whole(row, "seed"), _sample(row), turn)


def _sample(row: Row) -> SampleKey:
    if not row["sample_id"].strip():
        raise ValueError("sample_id is empty; each dialogue needs one")
    return SampleKey(row["class"], row["domain"], row["task"], row["sample_id"])


def _no_source() -> str:
    raise ValueError("history is 'swap' without history_from; name the strategy whose outputs it holds")


def _cost(row: Row) -> Cost:
    nan = float("nan")
    return Cost(
        images=nan,
        nfe=number(row, "nfe"),
        generator_tokens=number(row, "new_tokens"),
        judge_tokens=nan,
        generator_seconds=number(row, "seconds"),
        judge_seconds=nan,
    )


def _unit(row: Row, name: str) -> float | None:
    """The score in a field; None if the field is empty or NaN. Raises ValueError outside of [0, 1]."""
    score = number(row, name)
    if math.isnan(score):
        return None
    if not 0 <= score <= 1:
        raise ValueError(f"{name} {score:g} is outside 0 to 1; divide by the scale's maximum")
    return score


def _one_of(allowed: tuple[str, ...], row: Row, name: str) -> str:
    value = row[name].strip()
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, not one of {', '.join(allowed)}")
    return value


def _only_one(path: Path, rows: Iterable[tuple[str, Row]], column: str) -> str:
    names = sorted({row.get(column) or "" for _, row in rows})
    if len(names) > 1:
        raise StudyError(
            f"{path}: rows of different {column}s cannot share a table: {', '.join(map(repr, names))}; "
            "split the file"
        )
    return names[0]


def _num_candidates(rows: Iterable[tuple[str, Row]]) -> dict[str, int]:
    """The number of candidates N of each strategy whose rows all state the same N."""
    stated = defaultdict(set)
    for place, row in rows:
        if (row.get("num_candidates") or "").strip() and row["modality"].strip() == "image":
            try:
                stated[row["strategy"].strip()].add(whole(row, "num_candidates"))
            except ValueError as error:
                raise StudyError(f"{place}: {error}") from None
    return {strategy: min(found) for strategy, found in stated.items() if len(found) == 1 and min(found) > 0}


def _arm(row: Row) -> str:
    return "/".join(row[name] for name in ("strategy", "history", "seed"))


def _warnings(path: Path, records: Iterable[Record]) -> Iterator[str]:
    blank = [record for record in records if record.score is None]
    if blank:
        yield (
            f"{path}: {len(blank)} rows have no score (the first: {blank[0].place.rpartition(', ')[2]}); "
            "they count as missing, never as 0"
        )
