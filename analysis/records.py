"""Loads the runs of a study: finds them, checks them, and names their arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from analysis.arms import arm_names, history_names, runs_left_out
from analysis.caveats import different_versions, merged
from analysis.responses import Draw, Judged, LayerVerdict, Pool, draws, judged_images, pools, verdicts
from analysis.weights import Training, spoken, training_of
from imug_tts.contracts.record import Record as StoredRecord
from imug_tts.records import (
    Comparable,
    Line,
    Manifest,
    RecordError,
    first_difference,
    read_manifest,
    read_turns,
    run_folders,
    stranger,
    turn_files,
)

__all__ = [
    "Arm",
    "Cost",
    "Judge",
    "Key",
    "Record",
    "SampleKey",
    "Study",
    "StudyError",
    "check_no_duplicates",
    "described",
    "load_study",
    "sample_key",
]


class StudyError(ValueError):
    """The stored runs cannot be analysed. The message says where, why, and what to do."""


class SampleKey(NamedTuple):
    """The key of one dialogue. Sample ids alone are not unique: they repeat across tasks."""

    sample_class: str
    domain: str
    task: str
    sample_id: str


class Arm(NamedTuple):
    """The unit of comparison: a strategy on a history with a seed."""

    strategy: str
    """The name of the arm: the strategy's label, and the settings in which it differs from arms of that
    label.
    """
    history: str
    seed: int


class Key(NamedTuple):
    """The key of one turn as one arm answers it."""

    strategy: str
    history: str
    seed: int
    sample: SampleKey
    turn: int


class Cost(NamedTuple):
    """The cost of a turn; tokens and seconds of generator and judge are separate."""

    images: float
    nfe: float
    generator_tokens: float
    judge_tokens: float
    generator_seconds: float
    judge_seconds: float


class Judge(NamedTuple):
    """A judge inside a strategy, as the manifest of a run states it."""

    layer: str
    use: str
    """"selects" or "verifies"."""
    judge: str
    models: tuple[str, ...]
    """The identities of the models that the judge asks."""
    identity: str = ""
    """A hash over the judge's knobs and models; empty if the manifest does not state it."""


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
    """The human score, in [0, 1]; None if there is none."""
    second: float | None
    """The score of a second, independent pass of the scorer; None if there is none."""
    dynamic: bool
    """Whether the question is keyed to what the model itself drew."""
    cost: Cost
    place: str
    """File and line of the record, for messages."""
    judged: tuple[Judged, ...] = ()
    pools: tuple[Pool, ...] = ()
    verdicts: tuple[LayerVerdict, ...] = ()
    draws: tuple[tuple[str, Draw], ...] = ()
    """For every node with candidates: its layer, and whether it has one image, several different images, or
    copies of one.
    """
    multiple_choice: bool = True
    """Whether a text turn is a multiple-choice question; otherwise it is free text."""


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
    """The number of candidates N of each strategy whose records state it."""
    oracles: frozenset[str]
    """Names of the arms that select by the scorer itself."""
    num_runs: int
    arms: Mapping[Path, Arm]
    """The arm of each run, by its folder; none for a CSV."""
    backbones: Mapping[str, str] = field(default_factory=dict)
    """The identity of each arm's backbone, by its name; none for a CSV. They differ in weights and knobs."""
    training: Mapping[str, Training] = field(default_factory=dict)
    """What the training of each arm's backbone has cost, by the arm's name, where the manifests say it."""
    judges: Mapping[str, tuple[Judge, ...]] = field(default_factory=dict)
    """The judges of each arm, by the arm's name, if the manifests state them."""
    caveats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sentences about each model's limits, by the model's identity, if the manifests state them."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Run:
    manifest: Manifest
    arm: Arm
    planned: Mapping[Key, str]
    records: Sequence[Record]


def load_study(folder: Path, runs: Iterable[Path] | None = None) -> Study:
    """Read every run at or below `folder`, or those of the folders `runs` alone.

    Raises:
        StudyError: there is no run, a file is damaged or missing, two runs hold the same turn, or the runs
            have different benchmarks or backbones.
    """
    if not folder.is_dir():
        raise StudyError(f"{folder}: no such folder; give the folder of a study, e.g. runs/demo")
    manifests = [_manifest(run) for run in sorted(run_folders(folder) if runs is None else runs)]
    if not manifests:
        raise StudyError(
            f"{folder}: no runs below it (a run is a folder with manifest.json and turns.jsonl); "
            "make one with: python experiments/run.py"
        )
    _check_one_study(manifests)
    warnings = list(different_versions(manifests))
    counted = _renamed(_counted([_run(manifest, warnings) for manifest in manifests], warnings))
    records = tuple(record for run in counted for record in run.records)
    check_no_duplicates(records)
    return Study(
        folder=folder,
        benchmark=manifests[0].benchmark,
        backbone=spoken([manifest.backbone for manifest in manifests]),
        records=records,
        planned={key: modality for run in counted for key, modality in run.planned.items()},
        num_candidates={},
        oracles=frozenset(run.arm.strategy for run in counted if run.manifest.oracle),
        num_runs=len(counted),
        arms={run.manifest.folder: run.arm for run in counted},
        backbones={run.arm.strategy: run.manifest.backbone for run in counted},
        training={run.arm.strategy: c for run in counted if (c := _training(run.manifest)) is not None},
        judges={run.arm.strategy: tuple(map(_judge, run.manifest.judges)) for run in counted},
        caveats=merged(run.manifest.caveats for run in counted),
        warnings=tuple(warnings),
    )


def check_no_duplicates(records: Iterable[Record]) -> None:
    """Check that no two records hold the same turn of the same arm. Raises StudyError if they do."""
    seen: dict[Key, str] = {}
    for record in records:
        there = seen.setdefault(record.key, record.place)
        if there is not record.place:
            raise StudyError(
                f"{record.place}: {described(record.key)} is already in {there}; keep one of the "
                "two and move the other out of the study"
            )


def sample_key(row: Mapping[str, Any]) -> SampleKey:
    """The key of a stored record's dialogue."""
    return SampleKey(row["class"], row["domain"], row["task"], str(row["sample_id"]))


def _manifest(folder: Path) -> Manifest:
    try:
        return read_manifest(folder)
    except RecordError as error:
        raise _unreadable(error, folder) from None


def _unreadable(error: RecordError, folder: Path) -> StudyError:
    return StudyError(
        f"{error}; run the command that made the run again (the journal serves its calls, so only "
        f"missing ones are computed), or move {folder} out of the study"
    )


def _judge(stated: Mapping[str, Any]) -> Judge:
    models = dict.fromkeys(map(str, stated["models"].values()))
    identity = str(stated.get("identity", ""))
    return Judge(str(stated["layer"]), str(stated["use"]), str(stated["judge"]), tuple(models), identity)


def _training(manifest: Manifest) -> Training | None:
    try:
        return training_of(manifest)
    except RecordError as error:
        raise _unreadable(error, manifest.folder) from None


def _run(manifest: Manifest, warnings: list[str]) -> _Run:
    """One run. Its arm has only the strategy's label as its name; `_renamed` makes names unique."""
    arm = Arm(manifest.strategy, manifest.history, manifest.seed)
    planned = dict(_planned_turns(manifest, arm))
    records = list(_records(manifest, planned, warnings))
    return _Run(manifest=manifest, arm=arm, planned=planned, records=records)


def _planned_turns(manifest: Manifest, arm: Arm) -> Iterator[tuple[Key, str]]:
    for dialogue in manifest.planned:
        for turn, modality in enumerate(dialogue.modalities, 1):
            yield Key(*arm, SampleKey(*dialogue[:4]), turn), modality


def _records(manifest: Manifest, planned: Mapping[Key, str], warnings: list[str]) -> Iterator[Record]:
    folder = manifest.folder
    try:
        for line in read_turns(folder, on_torn=lambda place: warnings.append(_torn(place))):
            record = _record(manifest, line)
            if planned.get(record.key) != record.modality:
                raise StudyError(
                    f"{line.place}: {described(record.key)} ({record.modality}) is not among the planned "
                    f"turns of {folder / 'manifest.json'}; the two files belong to different runs: run the "
                    "command that made this run again"
                )
            yield record
    except RecordError as error:
        raise _unreadable(error, folder) from None
    if not any(path.exists() for path in turn_files(folder)):
        warnings.append(
            f"{folder / 'turns.jsonl'}: does not exist yet; all turns of this run count as missing"
        )


def _torn(place: str) -> str:
    return (
        f"{place}: incomplete last line (the run was stopped while writing); its turn counts as "
        "missing until the command that made the run is invoked again"
    )


def _counted(runs: Sequence[_Run], warnings: list[str]) -> list[_Run]:
    """The runs without duplicates of other runs; each omission is added to `warnings`."""
    outcomes = {run.manifest.folder: Counter(record.outcome for record in run.records) for run in runs}
    left_out = runs_left_out([run.manifest for run in runs], outcomes)
    warnings += left_out.values()
    return [run for run in runs if run.manifest.folder not in left_out]


def _renamed(runs: Sequence[_Run]) -> list[_Run]:
    """The runs with unique names for arms of one label and for swapped histories."""
    manifests = [run.manifest for run in runs]
    names = arm_names(manifests)
    histories = history_names(manifests, names)
    return [_under(run, names[run.manifest.folder], histories[run.manifest.folder]) for run in runs]


def _under(run: _Run, strategy: str, history: str) -> _Run:
    arm = Arm(strategy, history, run.arm.seed)
    if arm == run.arm:
        return run
    return replace(
        run,
        arm=arm,
        planned={_as(arm, key): modality for key, modality in run.planned.items()},
        records=[replace(record, key=_as(arm, record.key)) for record in run.records],
    )


def _as(arm: Arm, key: Key) -> Key:
    return Key(*arm, key.sample, key.turn)


def _record(manifest: Manifest, line: Line) -> Record:
    try:
        return _checked(manifest, line)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise RecordError(line.place, f"damaged ({reason})") from error


def _checked(manifest: Manifest, line: Line) -> Record:
    row = line.record
    if difference := stranger(row, manifest.heading):
        raise ValueError(difference)
    detail = row["score_detail"] or {}
    return Record(
        key=Key(row["strategy"], row["history"], row["seed"], sample_key(row), row["turn"]),
        oracle=manifest.oracle,
        modality=row["modality"],
        outcome=row["outcome"],
        score=row["score"],
        step_score=detail.get("step_score"),
        human=None,
        second=None,
        dynamic=bool(detail.get("dynamic", False)),
        multiple_choice="dynamic" in detail,
        cost=_cost(row),
        place=line.place,
        **_tree(row),
    )


def _tree(row: StoredRecord) -> dict[str, Any]:
    """Judged images, pools, verdicts and draws in the response tree of an image turn.

    Empty on swapped histories, which measure inherited damage and not judges or selection.
    """
    response = row["response"]
    if not response or row["modality"] != "image" or row["history"] == "swap":
        return {}
    return {
        "judged": tuple(judged_images(response)),
        "pools": tuple(pools(response)),
        "verdicts": tuple(verdicts(response)),
        "draws": tuple(draws(response)),
    }


def _cost(row: StoredRecord) -> Cost:
    generator, judge = row["cost"].get("generator", {}), row["cost"].get("judge", {})
    return Cost(
        images=row["images"],
        nfe=row["nfe"],
        generator_tokens=generator.get("new_tokens", 0),
        judge_tokens=judge.get("new_tokens", 0),
        generator_seconds=generator.get("seconds", 0.0),
        judge_seconds=judge.get("seconds", 0.0),
    )


def _check_one_study(manifests: Sequence[Manifest]) -> None:
    """Check that the runs have one benchmark and one model, whose weights and knobs may differ."""
    found = first_difference(Comparable(each.folder, each.benchmark, each.backbone) for each in manifests)
    if found is not None:
        (first, other), (here, there) = found.folders, found.values
        raise StudyError(
            f"runs of different {found.what}s cannot share a table: {first / 'manifest.json'} has "
            f"{here!r}, {other / 'manifest.json'} has {there!r}; move one of them to a study folder of its "
            "own"
        )


def described(key: Key) -> str:
    """Return the name of a turn in messages: its number, dialogue and arm."""
    sample = "/".join(key.sample[1:])
    return f"turn {key.turn} of {sample} ({key.strategy}, {key.history} history, seed {key.seed})"
