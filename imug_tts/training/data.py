"""Training records: chats with images, each labelled with the capability that it trains.

A file has one JSON object per line; this one is split over several lines for reading:

    {"messages": [{"role": "user", "content": "<image>What moves?"},
                  {"role": "assistant", "content": "A car."}],
     "images": ["front.jpg"], "question_type": "perception"}

A file named *.json holds a list of such objects instead. Each `<image>` in a user's content stands for the
next path in `images`. Paths are relative to the folder of the file. The keys are those of the records that
Drive-KD (arXiv 2601.21288) released.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from imug_tts.contracts import ConfigurationError
from imug_tts.images import BrokenImage, check_image
from imug_tts.jsonl import numbered_lines, parse_object, what_is_wrong

__all__ = ["IMAGE", "Capability", "Message", "Record", "read_records", "split_by_images"]

Capability = Literal["perception", "reasoning", "planning"]
IMAGE: Final = "<image>"
_MOST_SAID: Final = 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Message(_Strict):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


class Record(_Strict):
    """A chat of one or more questions with their answers, which are learned, and its images."""

    messages: list[Message]
    images: list[str]
    question_type: Capability

    @model_validator(mode="after")
    def _is_a_question_and_an_answer(self) -> Record:
        roles = [message.role for message in self.messages]
        asked = roles[1:] if roles[:1] == ["system"] else roles
        if not asked or asked != ["user", "assistant"] * (len(asked) // 2):
            raise ValueError(
                f"messages: roles are {', '.join(roles) or 'none'}; they must be user and assistant in turn, "
                "the assistant last, after at most one system message"
            )
        return self

    @model_validator(mode="after")
    def _has_a_place_for_each_image(self) -> Record:
        places = sum(message.content.count(IMAGE) for message in self.messages if message.role == "user")
        if places != len(self.images):
            raise ValueError(
                f"images: there are {len(self.images)}, but the user's messages have {IMAGE} {places} times; "
                f"write {IMAGE} once for each image"
            )
        if any(IMAGE in message.content for message in self.messages if message.role != "user"):
            raise ValueError(f"messages: {IMAGE} may stand in the user's messages only")
        return self


def read_records(path: Path) -> list[Record]:
    """Read the records of a file and check them, by decoding each image once. Paths of images become
    absolute.

    Raises:
        ConfigurationError: the file cannot be read, has no record, or has wrong records. The message names
            file, line and key of the first twenty errors.
    """
    problems: list[str] = []
    records = list(_records(path, problems))
    if problems:
        shown = "\n".join(problems[:_MOST_SAID])
        more = f"\nand {len(problems) - _MOST_SAID} more" if len(problems) > _MOST_SAID else ""
        raise ConfigurationError(f"{shown}{more}")
    if not records:
        raise ConfigurationError(f"{path} has no record; it needs one JSON object a line")
    return records


def _records(path: Path, problems: list[str]) -> Iterator[Record]:
    """Yield the valid records of a file; append a message to `problems` for each error in records and
    images.
    """
    known: dict[Path, str] = {}
    for place, encoded in _encoded_records(path):
        try:
            record = Record.model_validate(parse_object(encoded))
        except ValidationError as error:
            problems.extend(_said(path, place, key, complaint) for key, complaint in what_is_wrong(error))
        except ValueError as error:
            problems.append(_said(path, place, "", f"{error}; a {place.split()[0]} must be one record"))
        else:
            images = [path.parent.absolute() / image for image in record.images]
            for index, image in enumerate(images):
                if complaint := _once(known, image, _why_unreadable):
                    problems.append(_said(path, place, f"images[{index}]", f"{image} {complaint}"))
            yield record.model_copy(update={"images": [str(image) for image in images]})


def _encoded_records(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the place of each record in the file ("line 3", or "record 3" of a list) and its JSON."""
    if path.suffix != ".json":
        yield from ((f"line {number}", line) for number, line in numbered_lines(path))
        return
    try:
        records = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(records, list):
        raise ConfigurationError(f"{path} holds no JSON list; name a file of one record a line *.jsonl")
    yield from ((f"record {number}", json.dumps(record).encode()) for number, record in enumerate(records, 1))


def split_by_images(records: Sequence[Record], share: float) -> tuple[list[Record], list[Record]]:
    """Split records into those to train on and those to hold out.

    Records with the same images are never split. The side of a record depends only on the file names of its
    images (without images, on its first message), not on the order of records or on other records.

    Args:
        share: approximate share of records to hold out, in [0, 1].

    Returns:
        The records to train on, and the held-out records.
    """
    sides: tuple[list[Record], list[Record]] = ([], [])
    for record in records:
        shown = "\0".join(sorted(Path(image).name for image in record.images)) or record.messages[0].content
        drawn = int.from_bytes(hashlib.sha256(shown.encode()).digest()[:8], "big") / 2**64
        sides[drawn < share].append(record)
    return sides


def _said(path: Path, place: str, key: str, complaint: str) -> str:
    return f"{path}, {place}{f', {key}' if key else ''}: {complaint}"


def _once(known: dict[Path, str], image: Path, check: Callable[[Path], str]) -> str:
    """Return the complaint about an image; `known` keeps it, so that each image is checked once."""
    if image not in known:
        known[image] = check(image)
    return known[image]


def _why_unreadable(image: Path) -> str:
    """Return why an image cannot be used, as text that begins with a verb; empty if it can be used."""
    try:
        check_image(image.read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except BrokenImage as error:
        return str(error)
    return ""
