"""The manifest of a run: what identifies it, and its planned dialogues; and names of files in its folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from imug_tts.contracts.record import HISTORIES, History
from imug_tts.files import plain_name

__all__ = [
    "HEADING",
    "MANIFEST",
    "SEGMENTS",
    "TURNS",
    "Manifest",
    "PlannedDialogue",
    "RecordError",
    "arm_key",
    "check_unchanged",
    "digest",
    "image_files",
    "image_path",
    "one_of",
    "plain",
    "read_manifest",
    "reason_of",
    "run_folders",
    "stranger",
    "with_digest",
]

HEADING: Final = (
    *("run", "arm", "strategy", "oracle", "seed", "history", "history_from", "benchmark", "models"),
)
"""Fields of the manifest that every record starts with."""

MANIFEST: Final = "manifest.json"
TURNS: Final = "turns.jsonl"
SEGMENTS: Final = "turns"

_SHA256: Final = re.compile("[0-9a-f]{64}")
_NOT_RUNS: Final = frozenset(["images", "journal", "analysis", "wandb", SEGMENTS])
_AXES: Final = ("history", "history_from", "seed")
"""Fields in which runs of one arm may differ, besides the dialogues."""
_SELECTION_0_1: Final = ("classes", "domains", "tasks", "turns", "num_samples")
"""Knobs with which benchmarks of version 0.1 select dialogues; later manifests store them in `selection`."""


class RecordError(ValueError):
    """A file of a run is missing or damaged. The message names the file and, if known, the line."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class PlannedDialogue(NamedTuple):
    """A dialogue of a run's plan."""

    sample_class: str
    domain: str
    task: str
    sample_id: str
    modalities: tuple[str, ...]
    """The modality of each turn, in order."""

    @property
    def name(self) -> str:
        """The dialogue's unique name within its benchmark, as `Sample.name`."""
        return f"{self.domain}/{self.task}/{self.sample_id}"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The manifest of a run, parsed."""

    folder: Path
    run: str
    """The folder's name when the run was created; the field `run` of every record."""
    arm: str
    """Name of the arm: strategy label and a hash of everything but history, seed and dialogues."""
    strategy: str
    """The strategy's label."""
    oracle: bool
    history: History
    history_from: str
    """Identity of the run whose outputs a swapped history shows; empty for other histories."""
    seed: int
    benchmark: str
    backbone: str
    models: Mapping[str, str] = field(default_factory=dict)
    """The identity of every model that the run may call, by role or by the path of the judge or layer."""
    judges: tuple[Mapping[str, Any], ...] = ()
    """The judges inside the strategy: place, layer, use ("selects" or "verifies"), judge, kind, models."""
    caveats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Caveats of each model by its identity; models without caveats are left out."""
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The training cost of each model by its identity; models without a stated cost are left out."""
    arm_identity: Mapping[str, Any] = field(default_factory=dict)
    """The configuration that `arm` hashes, as plain values."""
    selection: Mapping[str, Any] = field(default_factory=dict)
    """The knobs that select dialogues and are not at their defaults."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of Python and packages when the run was begun or last continued."""
    earlier_versions: tuple[Mapping[str, str], ...] = ()
    """Other versions under which earlier invocations played the run."""
    planned: tuple[PlannedDialogue, ...] = ()

    @cached_property
    def heading(self) -> Mapping[str, Any]:
        """The values of the fields in `HEADING`, which every record of the run starts with."""
        return {key: getattr(self, key) for key in HEADING}


def run_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders at or below `folder` that hold a run."""
    for path, folders, files in os.walk(folder):
        if TURNS in files or MANIFEST in files:
            yield Path(path)
        folders[:] = sorted(name for name in folders if name not in _NOT_RUNS)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the run in `folder`.

    Raises:
        RecordError: the manifest is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        stored = json.loads(path.read_bytes())
        check_unchanged(stored)
        return _manifest(folder, stored)
    except FileNotFoundError:
        raise RecordError(str(path), "missing") from None
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(str(path), f"damaged ({reason_of(error)})") from error


def with_digest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of `manifest.json`: the manifest, and as `digest` a hash over it."""
    return {**manifest, "digest": digest(manifest)}


def check_unchanged(stored: Mapping[str, Any]) -> None:
    """Check the digest of a stored manifest; earlier versions stored none.

    Raises:
        ValueError: the manifest was changed after it was written.
    """
    rest = {key: value for key, value in stored.items() if key != "digest"}
    if stored.get("digest") not in (None, digest(rest)):
        raise ValueError("changed after it was written: its digest does not fit")


def stranger(record: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """Return how a record differs from the manifest beside it; empty if it belongs to that run.

    The name of the run is not compared, because a folder can be renamed. Records of version 0.1, which name
    no arm, are not compared at all.
    """
    for key in HEADING[1:] if "arm" in record else ():
        if (record[key] or None) != (manifest[key] or None):
            here, there = record[key], manifest[key]
            return f"a record of another run: {key} is {here!r}, and {there!r} in manifest.json"
    return ""


def image_path(folder: Path, sha256: str) -> Path:
    """Return the file of an image in the run's folder.

    Raises:
        ConfigurationError: `sha256` cannot be a file name.
    """
    return folder / "images" / plain_name(f"{sha256}.png")


def image_files(folder: Path) -> Iterator[Path]:
    """Yield the image files of the run in `folder`; each is named by its SHA-256."""
    return (path for path in (folder / "images").glob("*.png") if _SHA256.fullmatch(path.stem))


def arm_key(strategy: str, arm_identity: Mapping[str, Any]) -> str:
    """Return the name of an arm: its strategy's label and a hash of its configuration."""
    return f"{strategy}#{digest(arm_identity)[:8]}"


def digest(value: Mapping[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of canonical JSON: 1 equals 1.0, and the order of keys has no effect."""
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(value: Mapping[str, Any]) -> Any:
    """Return the value as JSON restores it: tuples become lists, mappings dicts, and paths texts."""
    return json.loads(json.dumps(value, default=str))


def _manifest(folder: Path, stored: Mapping[str, Any]) -> Manifest:
    arm_identity, selection = _arm_identity(stored)
    strategy = str(stored["strategy"])
    return Manifest(
        folder=folder,
        run=str(stored["run"]),
        arm=str(stored.get("arm") or arm_key(strategy, arm_identity)),
        strategy=strategy,
        oracle=bool(stored["oracle"]),
        history=one_of(HISTORIES, stored["history"], "history"),
        history_from=str(stored.get("history_from") or ""),
        seed=int(stored["seed"]),
        benchmark=_text(stored["benchmark"]),
        backbone=_text(stored["backbone"]),
        models=stored.get("models", {}),
        judges=tuple(stored.get("judges", ())),
        caveats={str(model): tuple(map(str, said)) for model, said in stored.get("caveats", {}).items()},
        training=stored.get("training", {}),
        arm_identity=arm_identity,
        selection=selection,
        versions=_versions(stored.get("versions", {})),
        earlier_versions=tuple(map(_versions, stored.get("earlier_versions", ()))),
        planned=tuple(map(_planned, stored["planned"])),
    )


def _versions(stored: Mapping[str, Any]) -> Mapping[str, str]:
    return {str(name): str(version) for name, version in stored.items()}


def _arm_identity(stored: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the arm's configuration and the selection of dialogues; version 0.1 stored them as one."""
    if "arm_identity" in stored:
        return stored["arm_identity"], stored["selection"]
    identity = {key: value for key, value in stored["identity"].items() if key not in _AXES}
    benchmark = identity.pop("benchmark", {})
    chosen = {key: value for key, value in benchmark.items() if key in _SELECTION_0_1}
    rest = {key: value for key, value in benchmark.items() if key not in _SELECTION_0_1}
    return {**identity, "benchmark": rest}, chosen


def _planned(dialogue: Mapping[str, Any]) -> PlannedDialogue:
    return PlannedDialogue(
        sample_class=str(dialogue["class"]),
        domain=str(dialogue["domain"]),
        task=str(dialogue["task"]),
        sample_id=str(dialogue["sample_id"]),
        modalities=tuple(one_of(("text", "image"), each, "modality") for each in dialogue["modalities"]),
    )


def one_of(allowed: tuple[Any, ...], value: Any, what: str) -> Any:
    if value not in allowed:
        raise ValueError(f"{what} is {value!r}, not one of {', '.join(allowed)}")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def reason_of(error: Exception) -> str:
    return f"no field {error}" if isinstance(error, KeyError) else str(error)


def _canonical(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
