"""Human preference pairs: read them from a file, and let a judge compare them in both orders."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from imug_tts.calls import Brokers, Budget, Journal, TurnScope
from imug_tts.concurrency import run_blocking
from imug_tts.contracts import (
    Backbone,
    BackboneError,
    ConfigurationError,
    Judge,
    JudgeError,
    ModelRole,
)
from imug_tts.dialogue import Image, Message, Response, Text, Turn
from imug_tts.images import BrokenImage, check_image

__all__ = ["Compared", "Pair", "compare_pairs", "read_pairs"]

Choice = Literal["a", "b", "tie"]

_FIELDS: Final = ("prompt", "image_a", "image_b", "choice")
_CHOICES: Final[Mapping[str, Choice]] = {"a": "a", "b": "b", "tie": "tie"}
_AT_ONCE: Final = 64
"""Pairs judged concurrently."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images for one prompt, and which of them people prefer."""

    prompt: str
    image_a: Image
    image_b: Image
    choice: Choice
    where: str
    """File and line of the pair, for messages."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A judge's preference in one pair: 1 for image A, 0 for image B, 0.5 for a tie.

    None if no preference could be parsed; `failure` gives the reason if a call failed.
    """

    pair: Pair
    a_first: float | None
    """Preference with image A shown first."""
    b_first: float | None
    """Preference with image B shown first."""
    failure: str = ""


def read_pairs(file: Path) -> list[Pair]:
    """Read the pairs of a JSONL or CSV file with the fields prompt, image_a, image_b and choice (a, b or
    tie).

    Images are paths relative to the file's folder, and must be inside it.

    Raises:
        ConfigurationError: the file or an image cannot be read, or a row is wrong. The message names file and
            line.
    """
    try:
        pairs = [_pair(file, number, row) for number, row in _rows(file)]
    except OSError as error:
        raise ConfigurationError(f"pairs: {file} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"pairs: {file} is not a CSV or JSONL file in UTF-8: {error}") from error
    if not pairs:
        raise ConfigurationError(f"pairs: {file} has no pairs")
    return pairs


def compare_pairs(
    judge: Judge, pairs: Sequence[Pair], models: Mapping[ModelRole, Backbone], journal: Journal
) -> list[Compared]:
    """Return the judge's preference in every pair, in both orders.

    A judge that scores single images scores both images, and prefers the one with the higher score.

    Args:
        models: the model of each role.
        journal: caches the calls; calls that it has are not made again.
    """
    return run_blocking(_compare_all(judge, pairs, models, journal))


async def _compare_all(
    judge: Judge, pairs: Sequence[Pair], models: Mapping[ModelRole, Backbone], journal: Journal
) -> list[Compared]:
    brokers = Brokers(journal)
    slots = asyncio.Semaphore(_AT_ONCE)

    async def compare(number: int, pair: Pair) -> Compared:
        async with slots:
            return await _compared(judge, pair, number, models, brokers)

    try:
        return list(await asyncio.gather(*(compare(*each) for each in enumerate(pairs))))
    finally:
        await brokers.stop()


async def _compared(
    judge: Judge, pair: Pair, number: int, models: Mapping[ModelRole, Backbone], brokers: Brokers
) -> Compared:
    history = (Message("user", (Text(pair.prompt),)),)
    turn = Turn(sample=f"pair {number}", number=1, modality="image", history=history)
    scope = TurnScope.root(models=models, brokers=brokers, run_seed=0, turn=turn, budget=Budget())
    one, other = (Response(strategy="pair", output=image) for image in (pair.image_a, pair.image_b))
    try:
        a_first = await judge.prefers(turn, one, other, scope)
        b_first = await judge.prefers(turn, other, one, scope)
    except (BackboneError, JudgeError) as error:
        return Compared(pair=pair, a_first=None, b_first=None, failure=str(error))
    return Compared(pair=pair, a_first=a_first, b_first=None if b_first is None else 1 - b_first)


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows of a file with their line numbers."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        if file.suffix.lower() == ".csv":
            reader = csv.DictReader(lines)
            yield from ((reader.line_num, row) for row in reader)
            return
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _json_row(file, number, line)


def _json_row(file: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"pairs: {file}, line {number}: not valid JSON ({error})") from None
    if not isinstance(row, dict):
        raise ConfigurationError(
            f"pairs: {file}, line {number}: it must be an object with {', '.join(_FIELDS)}"
        )
    return row


def _pair(file: Path, number: int, row: Mapping[str, Any]) -> Pair:
    where = f"pairs: {file}, line {number}"
    for name in _FIELDS:
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ConfigurationError(f"{where}: {name} is {row.get(name)!r}; it must be text")
    choice = _CHOICES.get(row["choice"].strip().lower())
    if choice is None:
        raise ConfigurationError(f"{where}: choice is {row['choice']!r}; it must be a, b or tie")
    images = [_image(file, row[name], f"{where}: {name}") for name in ("image_a", "image_b")]
    return Pair(prompt=row["prompt"], image_a=images[0], image_b=images[1], choice=choice, where=where)


def _image(file: Path, name: str, where: str) -> Image:
    folder = file.resolve().parent
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise ConfigurationError(f"{where} is {name!r}; it must be a file in {folder}")
    try:
        encoded = path.read_bytes()
        check_image(encoded)
    except (BrokenImage, OSError) as error:
        raise ConfigurationError(f"{where}: {path} cannot be read as an image: {error}") from error
    return Image(None, path)
