"""Read JSON that other programs wrote; errors name file and line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import BaseModel, ValidationError

from imug_tts.contracts import ConfigurationError

__all__ = [
    "DataError",
    "numbered_lines",
    "parse_leniently",
    "parse_object",
    "read_objects",
    "refuse_constant",
    "unique_keys",
    "what_is_wrong",
]

_SHOWN: Final = 20
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class DataError(ConfigurationError):
    """Data files are invalid. `problems` has one sentence for each problem."""

    def __init__(self, folder: Path | str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        lines = "".join(f"\n  {line}" for line in [*problems[:_SHOWN], *more])
        super().__init__(f"{folder} has {count}; repair the files or download the benchmark again:{lines}")


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSONL file with their line numbers, from 1. Blank lines are skipped.

    Raises:
        ConfigurationError: the file cannot be read, or a line is not a JSON object. The message names file
            and line.
    """
    for number, line in numbered_lines(path):
        try:
            yield number, parse_object(line)
        except ValueError as error:
            raise ConfigurationError(f"{path}, line {number}: {error}") from None


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, with their numbers, from 1.

    Only a line feed ends a line: `str.splitlines` would also split at U+2028, which JSON strings may contain.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield number, line


def parse_object(encoded: bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: the text is not a JSON object, or has a duplicate key or NaN. The message says why.
    """
    strict = partial(json.loads, object_pairs_hook=unique_keys, parse_constant=refuse_constant)
    value = _parsed(encoded, strict)
    if _SURROGATE.search(encoded):
        _refuse_half_surrogates(value)
    return value


def parse_leniently(encoded: bytes) -> dict[str, Any]:
    """Parse a JSON object as the official scorers do: NaN, lone surrogates and duplicate keys are allowed.

    Of duplicate keys, the last value counts.

    Raises:
        ValueError: the text is not a JSON object; the message says why.
    """
    return _parsed(encoded, json.loads)


def _parsed(encoded: bytes, loads: Callable[[str], Any]) -> dict[str, Any]:
    try:
        value = loads(encoded.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"not a JSON object but a {type(value).__name__}")
    return value


def _refuse_half_surrogates(value: dict[str, Any]) -> None:
    """Check that no string has half of a surrogate pair, which UTF-8 cannot encode. Raises ValueError."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a string has half of a surrogate pair (\\ud800 to \\udfff)") from None


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of key-value pairs, for `object_pairs_hook`. Raises ValueError for a duplicate
    key.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} occurs twice in one object")
    return found


def refuse_constant(name: str) -> NoReturn:
    """Raise ValueError for NaN and infinities; a function for `parse_constant`."""
    raise ValueError(f"{name} is not a JSON value")


def what_is_wrong(error: ValidationError) -> list[tuple[str, str]]:
    """Return key and complaint of each problem, e.g. ("tasks[1].turn", "is missing")."""
    return [(_key(problem["loc"]), _complaint(problem)) for problem in error.errors(include_url=False)]


def _key(place: tuple[int | str, ...]) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place if step != "[key]"]
    return "".join(steps).removeprefix(".")


def _complaint(problem: Any) -> str:
    if problem["type"] == "missing":
        return "is missing"
    message: str = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(problem["input"], dict | BaseModel):
        return message
    shown = repr(problem["input"])
    return f"is {shown if len(shown) <= 60 else shown[:57] + '...'}; {message}"
