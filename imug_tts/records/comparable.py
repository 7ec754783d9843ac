"""Which runs one table may compare: runs of one benchmark and one model. Its weights and knobs may differ."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Comparable", "Difference", "ModelParts", "first_difference", "model_parts"]

_IDENTITY = re.compile(r"(?P<name>.*?)(?::(?P<weights>[0-9a-f]{16}))?(?: (?P<knobs>\{.*\}))?", re.DOTALL)


class ModelParts(NamedTuple):
    """The parts of a model's identity, e.g. of 'janus:1:2fd4e1c67a2d28fc {"guidance": 3}'."""

    name: str
    """E.g. "janus:1"."""
    weights: str
    """Hash of the weights; empty if the identity states none."""
    knobs: str
    """The knobs that are not at their defaults, as JSON; empty if there are none."""


class Comparable(NamedTuple):
    """What a run must have in common with the other runs of its study."""

    folder: Path
    benchmark: str
    backbone: str


class Difference(NamedTuple):
    """A difference because of which two runs cannot share a table."""

    what: str
    """"benchmark" or "backbone"."""
    folders: tuple[Path, Path]
    values: tuple[str, str]


def model_parts(identity: str) -> ModelParts:
    """Split a model's identity."""
    match = _IDENTITY.fullmatch(identity)
    assert match is not None  # every text matches
    return ModelParts(*(part or "" for part in match.groups()))


def first_difference(runs: Iterable[Comparable]) -> Difference | None:
    """Return how the first run differs from another in benchmark or model; None if one table may hold all."""
    known = list(runs)
    for other in known[1:]:
        first = known[0]
        folders = first.folder, other.folder
        if first.benchmark != other.benchmark:
            return Difference("benchmark", folders, (first.benchmark, other.benchmark))
        if model_parts(first.backbone).name != model_parts(other.backbone).name:
            return Difference("backbone", folders, (first.backbone, other.backbone))
    return None
