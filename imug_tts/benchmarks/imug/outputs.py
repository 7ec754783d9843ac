"""Reads and writes model outputs in the layout of the official IMUG-Bench client.

A model's folder contains <domain>/<subdomain>/question_<sample_id>/result.json: the benchmark's record
without its system prompt and with a `model_response` on each task. The pictures are beside it. A response is
the text, the name of a picture, or "ERROR: " and the reason why the turn failed. Such a turn is a failure,
never an answer; so is a turn whose picture is missing or damaged.

The picture of a turn is found as the official scorers do: turn_<n>_output.png, else the file that the
response names, possibly in a subfolder. Of a path outside of the folder only the file name is used.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydantic import ValidationError

from imug_tts.benchmarks.imug.records import SampleName, SampleRecord
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Part, Question, Sample, Text
from imug_tts.files import link_or_write, plain_name, storage_errors, write_atomically
from imug_tts.images import BrokenImage, check_image
from imug_tts.jsonl import parse_leniently, what_is_wrong

__all__ = ["Key", "Outputs", "read_outputs", "refuse_full", "write_outputs"]

Key = tuple[str, int]
"""The key of a turn: the sample's name and the turn's number."""

_ERROR: Final = "ERROR:"
_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg"})


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """A model's answers and failures by turn."""

    answers: Mapping[Key, Part]
    failures: Mapping[Key, str]
    """The reasons why turns have no answer."""


def read_outputs(folder: Path, samples: Iterable[Sample]) -> Outputs:
    """The outputs of one model for `samples`. Each of their turns is an answer or a failure.

    Pictures are decoded once as a check; later they are read on demand. Outputs of other samples are skipped
    with a warning.

    Raises:
        ConfigurationError: `folder` has no outputs for these samples, or a sample's name leads out of the
            folder.
    """
    root = folder.resolve()
    places = {_place(root, SampleName(s.domain, s.task, s.sample_id)): s for s in samples}
    present = {path.parent for path in root.glob("*/*/question_*/result.json")}
    if not present & places.keys():
        raise ConfigurationError(
            f"{folder} has no outputs for this benchmark; name the folder of one model, which contains "
            "<domain>/<subdomain>/question_<sample_id>/result.json"
        )
    _warn_of_strangers(root, present - places.keys())
    with ThreadPoolExecutor() as pool:
        turns = [turn for found in pool.map(_read_sample, places, places.values()) for turn in found]
    return Outputs(
        answers={key: part for key, part in turns if not isinstance(part, str)},
        failures={key: reason for key, reason in turns if isinstance(reason, str)},
    )


def _place(root: Path, name: SampleName) -> Path:
    return (
        root / plain_name(name.domain) / plain_name(name.subdomain) / plain_name(f"question_{name.sample_id}")
    )


def _warn_of_strangers(root: Path, strangers: Iterable[Path]) -> None:
    names = sorted(path.relative_to(root).as_posix() for path in strangers)
    if names:
        more = ", ..." if len(names) > 3 else ""
        warnings.warn(
            f"{root}: {len(names)} samples are not of this benchmark and are left out: "
            f"{', '.join(names[:3])}{more}",
            stacklevel=3,
        )


def _read_sample(folder: Path, sample: Sample) -> list[tuple[Key, Part | str]]:
    try:
        responses = _responses(folder)
    except (OSError, ValueError) as error:
        return [((sample.name, q.number), f"result.json: {_reason(error)}") for q in sample.questions]
    return [((sample.name, q.number), _answer(folder, q, responses)) for q in sample.questions]


def _responses(folder: Path) -> dict[int, object]:
    """The responses by turn number."""
    tasks = parse_leniently(_read(folder, "result.json")).get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ValueError("tasks must be a list of objects")
    responses = {task["turn"]: task.get("model_response") for task in tasks if type(task.get("turn")) is int}
    if len(responses) < len(tasks):
        raise ValueError("every task must have a turn number of its own")
    return responses


def _answer(folder: Path, question: Question, responses: Mapping[int, object]) -> Part | str:
    """The answer to a question, or the reason why there is none."""
    response = responses.get(question.number)
    if not isinstance(response, str):
        return "result.json has no model_response for this turn"
    if response.startswith(_ERROR):
        return response.removeprefix(_ERROR).removeprefix(" ")
    if question.modality == "text":
        return Text(response.encode(errors="replace").decode())  # half a surrogate pair cannot be encoded
    return _picture(folder, question.number, response)


def _picture(folder: Path, number: int, response: str) -> Part | str:
    """The picture of a turn, or the reason why there is none."""
    last = PurePosixPath(response).name
    names = [name for name in (_image_name(number), response, last) if _is_there(folder, name)]
    if not names and Path(last).suffix.lower() not in _SUFFIXES:
        return f"an image is required, but the response is text: {response[:200]!r}"
    name = names[0] if names else last
    try:
        return _image(folder, name)
    except BrokenImage as error:
        return f"{name} {error}"
    except (OSError, ValueError) as error:
        return f"{name}: {_reason(error)}"


def _is_there(folder: Path, name: str) -> bool:
    """Whether a file (or link) of that name lies below the folder."""
    path = os.path.normpath(folder / name)
    return Path(path).is_relative_to(folder) and os.path.isfile(path)


def _image(folder: Path, name: str) -> Image:
    encoded = _read(folder, name)
    check_image(encoded)
    return Image(Image.from_bytes(encoded).sha256, folder / name)


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.resolve().is_relative_to(folder):  # a link to a file outside of the sample's folder
        raise ValueError(f"a link to {path.resolve()}; copy the file instead")
    return path.read_bytes()


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def write_outputs(folder: Path, records: Iterable[Mapping[str, Any]], outputs: Outputs) -> None:
    """Write a model's outputs in the layout of the official client.

    `records` are the objects of benchmark.jsonl. A sample without any tried turn is not written; in other
    samples, a turn that was not tried is written as failed. Pictures that are files become hard links if the
    disk supports it. A text that begins with "ERROR:" is written unchanged and reads as a failure. Half a
    surrogate pair, which cannot be encoded, becomes a question mark.

    Raises:
        ConfigurationError: `folder` is not empty, a record is invalid or leads out of it, or a sample has no
            record.
        StorageError: a file could not be written.
    """
    refuse_full(folder)
    named = {_name(record): record for record in records}
    tried = {name for name, _ in (*outputs.answers, *outputs.failures)}
    if unknown := tried - {str(name) for name in named}:
        raise ConfigurationError(
            f"benchmark.jsonl has no sample {min(unknown)}; name the data that the model answered"
        )
    for name, record in named.items():
        if str(name) in tried:
            _write_sample(_place(folder, name), str(name), record, outputs)


def refuse_full(folder: Path) -> None:
    """Check that outputs can be written to the folder. Raises ConfigurationError if it is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is not empty; name another folder, or remove it first")


def _name(record: Mapping[str, Any]) -> SampleName:
    try:
        return SampleRecord.model_validate(record).name
    except ValidationError as error:
        key, complaint = what_is_wrong(error)[0]
        raise ConfigurationError(
            f"sample {record.get('sample_id')!r} of benchmark.jsonl, {key}: {complaint}"
        ) from None


def _write_sample(folder: Path, name: str, record: Mapping[str, Any], outputs: Outputs) -> None:
    """Write a sample, pictures first: the official client treats a sample with a result.json as done."""
    tasks = []
    for task in record["tasks"]:
        answer = outputs.answers.get((name, task["turn"]))
        if isinstance(answer, Image):
            _write_image(folder / _image_name(task["turn"]), answer)
        failure = outputs.failures.get((name, task["turn"]), "not tried, because an earlier turn failed")
        tasks.append({**task, "model_response": _response(task, answer, failure)})
    result = {key: value for key, value in record.items() if key != "system_prompt"} | {"tasks": tasks}
    encoded = json.dumps(result, indent=2, ensure_ascii=False).encode(errors="replace")
    write_atomically(folder / "result.json", encoded)


def _write_image(path: Path, image: Image) -> None:
    if isinstance(image.source, Path):
        with storage_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        link_or_write(image.source, path, image.read)
    else:
        write_atomically(path, image.read())


def _image_name(turn: int) -> str:
    return f"turn_{turn}_output.png"


def _response(task: Mapping[str, Any], answer: Part | None, failure: str) -> str:
    if answer is None:
        return f"{_ERROR} {failure}"
    return answer.text if isinstance(answer, Text) else _image_name(task["turn"])
