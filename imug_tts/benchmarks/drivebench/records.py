"""The records of DriveBench's files, read strictly: errors name file, place and key.

A file is a JSON array of records, as the official file is, or has one record per line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from imug_tts.benchmarks.drivebench.kinds import QuestionType
from imug_tts.contracts import ConfigurationError
from imug_tts.files import plain_name
from imug_tts.jsonl import (
    DataError,
    numbered_lines,
    parse_object,
    refuse_constant,
    unique_keys,
    what_is_wrong,
)

__all__ = ["CAMERAS", "DriveRecord", "Placed", "SceneRecord", "read_records", "read_scenes"]

CAMERAS: Final = (
    "CAM_FRONT",
    "CAM_FRONT_LEFT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_BACK_RIGHT",
)
"""The six cameras, in the order in which their images are shown."""

Camera = Literal[
    "CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT"
]
Token = Annotated[str, AfterValidator(plain_name)]
Words = Annotated[str, Field(min_length=1)]


def _below(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("it must be a path below benchmark.root, e.g. data/nuscenes/samples/CAM_FRONT/x.jpg")
    return path


class DriveRecord(BaseModel):
    """A question about a frame. Keys other than these fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)

    scene_token: Token
    frame_token: Token
    question_type: QuestionType
    question: Words
    answer: Words
    tag: Annotated[list[Literal[0, 1, 2, 3]], Field(min_length=1)]
    image_path: dict[Camera, Annotated[str, AfterValidator(_below)]] | None = None
    pred: str | None = None
    """The recorded answer of a model; None if there is none."""


class _KeyObject(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    visual_description: str = Field(validation_alias="Visual_description")


class _Frame(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    key_object_infos: dict[str, _KeyObject]


class SceneRecord(BaseModel):
    """A scene of the file of visual descriptions: its frames, with the objects of each frame by tag."""

    model_config = ConfigDict(strict=True, frozen=True)

    key_frames: dict[str, _Frame]


class Placed(NamedTuple):
    """A record and its place in the file, e.g. "record 3" or "line 3"."""

    place: str
    record: DriveRecord


def read_records(path: Path) -> list[Placed]:
    """Read and check all records of a file.

    Raises:
        ConfigurationError: the file cannot be read.
        DataError: the file is invalid; the message lists all problems, each with record or line, and key.
    """
    problems: list[str] = []
    placed = []
    for place, value in _objects(path, problems):
        try:
            placed.append(Placed(place, DriveRecord.model_validate(value)))
        except ValidationError as error:
            problems += [f"{place}, {key}: {complaint}" for key, complaint in what_is_wrong(error)]
    if not placed and not problems:
        problems.append(f"{path.name}: it has no records")
    if problems:
        raise DataError(path, problems)
    return placed


def read_scenes(path: Path) -> dict[str, SceneRecord]:
    """Read and check the scenes of a file of visual descriptions; return them by token.

    Raises:
        ConfigurationError: the file cannot be read.
        DataError: the file is invalid; the message lists all problems, each with its key.
    """
    scenes, problems = {}, []
    try:
        values = parse_object(_read(path))
    except ValueError as error:
        raise DataError(path, [str(error)]) from None
    for token, value in values.items():
        try:
            scenes[token] = SceneRecord.model_validate(value)
        except ValidationError as error:
            problems += [f"{token}.{key}: {complaint}" for key, complaint in what_is_wrong(error)]
    if problems:
        raise DataError(path, problems)
    return scenes


def _objects(path: Path, problems: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the JSON objects of a file, each with its place; append to `problems` what is not an object."""
    data = _read(path)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        for line, encoded in numbered_lines(path):
            try:
                yield f"line {line}", parse_object(encoded)
            except ValueError as error:
                problems.append(f"line {line}: {error}")
        return
    try:
        values = json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=unique_keys, parse_constant=refuse_constant
        )
    except (ValueError, RecursionError) as error:
        problems.append(f"it is not valid JSON ({error})")
        return
    for number, value in enumerate(values):
        if isinstance(value, dict):
            yield f"record {number}", value
        else:
            problems.append(f"record {number}: not a JSON object but a {type(value).__name__}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
