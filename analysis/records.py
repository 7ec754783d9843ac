"""Reading stored runs: find them below a study's folder, check them, and say what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from analysis.responses import Judged, Pool, judged_images, pools

__all__ = [
    "HISTORIES",
    "OUTCOMES",
    "Arm",
    "Cost",
    "Key",
    "Record",
    "SampleKey",
    "Study",
    "StudyError",
    "check_no_duplicates",
    "load_study",
    "run_folders",
    "swapped",
]

OUTCOMES = ("scored", "unscored", "model_error", "judge_error", "refused", "timed_out")
HISTORIES = ("own", "gold", "swap")
_NOT_RUNS = {"images", "journal", "analysis"}


class StudyError(ValueError):
    """The stored runs cannot be analysed as they are. Says where, why, and what to do."""


class SampleKey(NamedTuple):
    """Names one dialogue; sample ids repeat across tasks."""

    sample_class: str
    domain: str
    task: str
    sample_id: str


class Arm(NamedTuple):
    """What is compared: a strategy, behind a history, with a seed."""

    strategy: str
    history: str
    seed: int


class Key(NamedTuple):
    """Names one turn as one arm answers it."""

    strategy: str
    history: str
    seed: int
    sample: SampleKey
    turn: int


class Cost(NamedTuple):
    """What a turn cost, the generator's part and the judge's apart."""

    images: float
    nfe: float
    generator_tokens: float
    judge_tokens: float
    generator_seconds: float
    judge_seconds: float


@dataclass(frozen=True, slots=True)
class Record:
    """One answered or failed turn."""

    key: Key
    oracle: bool
    modality: str
    outcome: str
    score: float | None
    """In [0, 1]; None unless the outcome is "scored"."""
    step_score: float | None
    human: float | None
    """The score that a human gave, in [0, 1]; None where nobody did."""
    second: float | None
    """The score of a second, independent pass of the scorer."""
    dynamic: bool
    cost: Cost
    judged: tuple[Judged, ...]
    pools: tuple[Pool, ...]
    place: str
    """File and line, for messages."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """The checked runs of a study."""

    folder: Path
    benchmark: str
    backbone: str
    records: tuple[Record, ...]
    planned: Mapping[Key, str]
    """The modality of every planned turn."""
    num_candidates: Mapping[str, int]
    """N of each strategy that is a rung of a ladder over N, where the records state it."""
    oracles: frozenset[str]
    """Labels of the strategies that select by the scorer itself."""
    num_runs: int
    arms: Mapping[Path, Arm]
    """The arm of each run, by its folder; none for a CSV."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Run:
    folder: Path
    name: str
    strategy: str
    oracle: bool
    history: str
    history_from: str
    """The run whose outputs stand in the history, when it is "swap"."""
    seed: int
    benchmark: str
    backbone: str
    planned: Mapping[Key, str]


def load_study(folder: Path) -> Study:
    """Read every run at or below `folder`.

    Raises:
        StudyError: there is no run, a file is damaged or missing, two runs hold the same turn, or
            the runs do not belong together.
    """
    if not folder.is_dir():
        raise StudyError(f"{folder}: no such folder; give the folder of a study, e.g. runs/demo")
    runs = _named_swaps([_read_manifest(run) for run in sorted(run_folders(folder))])
    if not runs:
        raise StudyError(
            f"{folder}: no runs below it (a run is a folder with manifest.json and turns.jsonl); "
            "make one with: python experiments/run.py"
        )
    _check_one_study(runs)
    warnings: list[str] = []
    records = tuple(record for run in runs for record in _read_turns(run, warnings))
    check_no_duplicates(records)
    return Study(
        folder=folder,
        benchmark=runs[0].benchmark,
        backbone=runs[0].backbone,
        records=records,
        planned={key: modality for run in runs for key, modality in run.planned.items()},
        num_candidates={},
        oracles=frozenset(run.strategy for run in runs if run.oracle),
        num_runs=len(runs),
        arms={run.folder: Arm(run.strategy, run.history, run.seed) for run in runs},
        warnings=tuple(warnings),
    )


def swapped(strategy: str) -> str:
    """The name of the history that `strategy` produced and another arm answers on."""
    return f"swap:{strategy}"


def run_folders(folder: Path) -> Iterator[Path]:
    """The folders of a study that hold a run, wherever they lie in it."""
    for path, folders, files in os.walk(folder):
        if "turns.jsonl" in files or "manifest.json" in files:
            yield Path(path)
        folders[:] = [name for name in folders if name not in _NOT_RUNS]


def _read_manifest(folder: Path) -> _Run:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        planned = {key: m for s in manifest["planned"] for key, m in _planned_turns(manifest, s)}
        return _Run(
            folder=folder,
            name=str(manifest["run"]),
            strategy=str(manifest["strategy"]),
            oracle=bool(manifest["oracle"]),
            history=_one_of(HISTORIES, manifest["history"], "history"),
            history_from=str(manifest.get("history_from") or ""),
            seed=int(manifest["seed"]),
            benchmark=_text(manifest["benchmark"]),
            backbone=_text(manifest["backbone"]),
            planned=planned,
        )
    except FileNotFoundError:
        raise StudyError(
            f"{path}: missing, though the folder has a turns.jsonl; start the run again "
            f"to write it, or move {folder} out of the study"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StudyError(
            f"{path}: damaged ({_reason(error)}); start the run again to write it anew "
            f"(its calls are in the journal), or move {folder} out of the study"
        ) from None


def _named_swaps(runs: list[_Run]) -> list[_Run]:
    """The runs, in which a swapped history bears the name of the strategy that produced it."""
    strategies = {run.name: run.strategy for run in runs}
    return [_named_swap(run, strategies) if run.history == "swap" else run for run in runs]


def _named_swap(run: _Run, strategies: Mapping[str, str]) -> _Run:
    # an identity names the run, and behind a colon what the run answered
    source = Path(run.history_from.partition(":")[0]).name
    history = swapped(strategies.get(source, source))
    planned = {key._replace(history=history): modality for key, modality in run.planned.items()}
    return replace(run, history=history, planned=planned)


def _as_planned(run: _Run, history: str) -> str:
    return run.history if history == run.history.partition(":")[0] else history


def _planned_turns(manifest: Mapping[str, Any], sample: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    arm = str(manifest["strategy"]), str(manifest["history"]), int(manifest["seed"])
    for turn, modality in enumerate(sample["modalities"], 1):
        yield Key(*arm, _sample_key(sample), turn), _one_of(("text", "image"), modality, "modality")


def _read_turns(run: _Run, warnings: list[str]) -> Iterator[Record]:
    path = run.folder / "turns.jsonl"
    if not path.exists():
        warnings.append(f"{path}: not there yet; all turns of this run count as missing")
        return
    *lines, tail = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        yield _read_line(run, line, f"{path}, line {number}")
    if tail:
        try:
            json.loads(tail)
        except ValueError:
            warnings.append(
                f"{path}, line {len(lines) + 1}: torn (the run was stopped while writing); its turn counts "
                "as missing until the run is started again"
            )
        else:
            yield _read_line(run, tail, f"{path}, line {len(lines) + 1}")


def _read_line(run: _Run, line: bytes, place: str) -> Record:
    try:
        record = _record(run, json.loads(line), place)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StudyError(
            f"{place}: damaged ({_reason(error)}); start the run again (its calls are in the "
            f"journal, so it recomputes nothing else), or move {run.folder} out of the study"
        ) from None
    if run.planned.get(record.key) != record.modality:
        raise StudyError(
            f"{place}: {_describe(record.key)} ({record.modality}) is not among the planned turns of "
            f"{run.folder / 'manifest.json'}; the two files are of different runs: start the run again"
        )
    return record


def _record(run: _Run, row: Mapping[str, Any], place: str) -> Record:
    outcome = _one_of(OUTCOMES, row["outcome"], "outcome")
    detail = row["score_detail"] or {}
    response = row["response"] or {}
    # swapped histories measure damage, not judges and picks
    has_tree = row["modality"] == "image" and row["history"] in ("own", "gold")
    return Record(
        key=Key(
            row["strategy"], _as_planned(run, row["history"]), row["seed"], _sample_key(row), row["turn"]
        ),
        oracle=run.oracle,
        modality=row["modality"],
        outcome=outcome,
        score=_score(row["score"], outcome),
        step_score=detail.get("step_score"),
        human=None,
        second=None,
        dynamic=bool(detail.get("dynamic", False)),
        cost=_cost(row),
        judged=tuple(judged_images(response)) if response and has_tree else (),
        pools=tuple(pools(response)) if response and has_tree else (),
        place=place,
    )


def _cost(row: Mapping[str, Any]) -> Cost:
    generator, judge = row["cost"].get("generator", {}), row["cost"].get("judge", {})
    return Cost(
        images=row["images"],
        nfe=row["nfe"],
        generator_tokens=generator.get("new_tokens", 0),
        judge_tokens=judge.get("new_tokens", 0),
        generator_seconds=generator.get("seconds", 0.0),
        judge_seconds=judge.get("seconds", 0.0),
    )


def _score(score: float | None, outcome: str) -> float | None:
    if (score is not None) != (outcome == "scored"):
        raise ValueError(f"outcome {outcome!r} with score {score!r}")
    if score is not None and not 0 <= score <= 1:
        raise ValueError(f"score {score!r} is outside 0 to 1")
    return score


def _check_one_study(runs: Iterable[_Run]) -> None:
    first, *others = runs
    for run in others:
        for what in ("benchmark", "backbone"):
            here, there = getattr(first, what), getattr(run, what)
            if here != there:
                raise StudyError(
                    f"runs of different {what}s cannot share a table: {first.folder / 'manifest.json'} has "
                    f"{here!r}, {run.folder / 'manifest.json'} has {there!r}; move one of them to a "
                    "study folder of its own"
                )


def check_no_duplicates(records: Iterable[Record]) -> None:
    """Raises StudyError where two records hold the same turn of the same arm."""
    seen: dict[Key, str] = {}
    for record in records:
        there = seen.setdefault(record.key, record.place)
        if there is not record.place:
            raise StudyError(
                f"{record.place}: {_describe(record.key)} stands in {there} already; keep one of "
                "the two and move the other away"
            )


def _sample_key(row: Mapping[str, Any]) -> SampleKey:
    return SampleKey(row["class"], row["domain"], row["task"], str(row["sample_id"]))


def _describe(key: Key) -> str:
    sample = "/".join(key.sample[1:])
    return f"turn {key.turn} of {sample} ({key.strategy}, {key.history} history, seed {key.seed})"


def _one_of(allowed: tuple[str, ...], value: Any, what: str) -> str:
    if value not in allowed:
        raise ValueError(f"{what} is {value!r}, not one of {', '.join(allowed)}")
    return str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _reason(error: Exception) -> str:
    return f"no field {error}" if isinstance(error, KeyError) else str(error)
