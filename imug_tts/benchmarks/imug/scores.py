"""Reads and writes the official score files of IMUG-Bench, from and to turn records.

A model's scores are three JSONL files: one line per sample with its multiple-choice scores, one line per
image turn with its points of 0-5, and one line per dynamic question with the letters that a judge determined.
A record is a dict with the fields of `turns.jsonl` that these files can hold: domain, task, sample_id, turn,
modality, outcome, score and score_detail.

The official resolver of dynamic questions also takes letters from prose, and writes no letter for a reply
without an answer. Our parser is stricter. If its letters differ or are missing, `score_detail` keeps the
official ones (`official_letters`); the official files are written from them and from the answer in
`response`.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from imug_tts.contracts import ConfigurationError
from imug_tts.files import plain_name, write_atomically
from imug_tts.jsonl import read_objects
from imug_tts.scoring import mcq

__all__ = ["MAX_POINT", "Place", "Record", "as_official", "place_of", "read_scores", "write_scores"]

Record = Mapping[str, Any]
Entry = Mapping[str, Any]
"""One object of an official file."""

T = TypeVar("T")

MAX_POINT: Final = 5


class Place(NamedTuple):
    """The key of one turn of the benchmark."""

    domain: str
    task: str
    sample_id: str
    turn: int

    def __str__(self) -> str:
        return f"turn {self.turn} of {self.domain}/{self.task}/{self.sample_id}"


class _Kind(NamedTuple):
    """One of the three kinds of score files: its folder below the model's folder, and its name suffix."""

    folder: str
    ending: str


_IMAGES: Final = _Kind("score_img", "_img_score.jsonl")
_CHOICES: Final = _Kind("score_mcq", "_mcq_score.jsonl")
_DYNAMIC: Final = _Kind("dynamic_answer", "_dynamic_answer.jsonl")


def place_of(record: Record) -> Place:
    return Place(record["domain"], record["task"], record["sample_id"], record["turn"])


def as_official(records: Iterable[Record]) -> list[Record]:
    """The scored turns as the official score files hold them, with official scores, in the order of
    `records`.
    """
    return [official for record in records for official in _official_records(record)]


def _official_records(record: Record) -> Iterator[Record]:
    detail = record["score_detail"] or {}
    if "official_letters" in detail:
        letters = detail["official_letters"]
        score = mcq.official(record["response"]["output"]["text"], letters)
        detail = {**detail, "expected": letters}
        yield {**record, "outcome": "scored", "score": score, "score_detail": detail}
    elif record["outcome"] == "scored":
        yield record


def write_scores(folder: Path, model: str, records: Iterable[Record]) -> None:
    """Write the scored turns among `records` (see `as_official`) below `folder`/`model`, in their order.

    The score of a text turn follows the rule of its run (`scoring.mcq`).

    Raises:
        ConfigurationError: an image has no points in its `score_detail`, or `model` cannot be a file name.
        StorageError: the files could not be written.
    """
    plain_name(model)
    scored = as_official(records)
    texts = [record for record in scored if record["modality"] == "text"]
    images = [record for record in scored if record["modality"] == "image"]
    dynamic = [record for record in texts if record["score_detail"].get("dynamic")]
    entries = {
        _IMAGES: [_image_entry(record) for record in images],
        _CHOICES: _choice_entries(texts),
        _DYNAMIC: [_dynamic_entry(record) for record in dynamic],
    }
    for kind, lines in entries.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_atomically(folder / model / kind.folder / f"{model}{kind.ending}", text.encode())


def _image_entry(record: Record) -> Entry:
    if "points" not in record["score_detail"]:
        raise ConfigurationError(
            f"{place_of(record)} is not scored by points of 0-5, so there is no official form of its score"
        )
    points = enumerate(record["score_detail"]["points"], 1)
    scores = [{"point_id": number, "score": score} for number, score in points]
    return {**_names(record), "turn": record["turn"], "scores": scores}


def _choice_entries(records: Iterable[Record]) -> list[Entry]:
    samples: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        samples.setdefault(place_of(record)[:3], []).append(record)
    return [
        {**_names(turns[0]), "mcq_scores": [{"turn": r["turn"], "score": r["score"]} for r in turns]}
        for turns in samples.values()
    ]


def _dynamic_entry(record: Record) -> Entry:
    answer = record["score_detail"]["expected"]
    return {**_names(record), "turn": record["turn"], "determined_answer": answer}


def _names(record: Record) -> Entry:
    return {"domain": record["domain"], "subdomain": record["task"], "sample_id": record["sample_id"]}


def read_scores(folder: Path) -> dict[str, list[Record]]:
    """The scored turns of every model below `folder`, by model name; images first, in file order.

    The files are in `folder` itself, or else where the official scorers put them. A turn that occurs twice or
    whose score is out of range is kept with a warning, because the official summary counts it.

    Raises:
        ConfigurationError: there are no score files, or one is damaged; names file and line.
    """
    images, choices, dynamic = (_find(folder, kind) for kind in (_IMAGES, _CHOICES, _DYNAMIC))
    if not images and not choices:
        raise ConfigurationError(
            f"{folder} has no score files; they are named MODEL{_IMAGES.ending} and MODEL{_CHOICES.ending}"
        )
    found: dict[str, list[Record]] = {}
    for model in sorted({*images, *choices}):
        letters = dict(_read(dynamic.get(model, ()), _determined))
        found[model] = [
            *_read(images.get(model, ()), _image_records),
            *_read(choices.get(model, ()), partial(_choice_records, letters)),
        ]
        _warn_of_oddities(model, found[model])
    return {model: records for model, records in found.items() if records}


def _find(folder: Path, kind: _Kind) -> dict[str, list[Path]]:
    """The files of one kind by model, in the order in which the official summary reads them."""
    places = [f"*/*{kind.ending}", f"*/{kind.folder}/*{kind.ending}"]
    paths = sorted(folder.glob(f"*{kind.ending}")) or [
        path for place in places for path in sorted(folder.glob(place))
    ]
    by_model: dict[str, list[Path]] = {}
    for path in paths:
        by_model.setdefault(path.name.removesuffix(kind.ending), []).append(path)
    return by_model


def _read(paths: Iterable[Path], items_of: Callable[[Entry], Iterable[T]]) -> Iterator[T]:
    for path in paths:
        for number, entry in read_objects(path):
            try:
                yield from items_of(entry)
            except KeyError as error:
                raise ConfigurationError(f"{path}, line {number}: key {error} is missing") from None
            except (TypeError, ValueError, AttributeError) as error:
                raise ConfigurationError(f"{path}, line {number}: {error}") from None


def _image_records(entry: Entry) -> Iterator[Record]:
    """The record of an image; none for an image without points, which the official summary skips."""
    points = [_number(point["score"]) for point in entry.get("scores", []) if "score" in point]
    if points:
        score = sum(points) / (MAX_POINT * len(points))
        yield _record(_place(entry, entry["turn"]), "image", score, {"points": points})


def _choice_records(letters: Mapping[Place, str], entry: Entry) -> Iterator[Record]:
    for item in entry.get("mcq_scores", []):
        place = _place(entry, item["turn"])
        detail = {"expected": letters[place], "dynamic": True} if place in letters else {}
        yield _record(place, "text", _number(item["score"]), detail)


def _determined(entry: Entry) -> Iterator[tuple[Place, str]]:
    yield _place(entry, entry["turn"]), str(entry["determined_answer"])


def _place(entry: Entry, turn: object) -> Place:
    for key in ("domain", "subdomain"):
        if not isinstance(entry[key], str):
            raise ValueError(f"{key} is {entry[key]!r}; it must be text")
    return Place(entry["domain"], entry["subdomain"], str(entry["sample_id"]), int(_number(turn)))


def _record(place: Place, modality: str, score: float, detail: Record) -> Record:
    outcome = {"outcome": "scored", "score": score, "score_detail": detail}
    return {**place._asdict(), "modality": modality, **outcome}


def _number(value: object) -> int | float:
    """A number, or a text that is one, as the official summary accepts it. Raises ValueError."""
    if isinstance(value, (int, float, str)):
        number = value if isinstance(value, int) else float(value)
        if math.isfinite(number):
            return number
    raise ValueError(f"{value!r} is not a number")


def _warn_of_oddities(model: str, records: Iterable[Record]) -> None:
    counts = Counter((place_of(record), record["modality"]) for record in records)
    oddities = {
        "scored twice; the official summary counts both": [p for (p, _), n in counts.items() if n > 1],
        "off the scale; the official summary counts it": [place_of(r) for r in records if _off_scale(r)],
    }
    for what, places in oddities.items():
        if places:
            more = f" ({len(places)} such turns)" if len(places) > 1 else ""
            warnings.warn(f"scores of {model}: {places[0]} is {what}{more}", stacklevel=3)


def _off_scale(record: Record) -> bool:
    points = record["score_detail"].get("points", [])
    return not (0 <= record["score"] <= 1 and all(0 <= point <= MAX_POINT for point in points))
