"""Reads JSON from other programs; errors name file and line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from imug_tts.contracts import ConfigurationError

__all__ = [
    "numbered_lines",
    "parse_leniently",
    "parse_object",
    "read_objects",
    "refuse_constant",
    "unique_keys",
]

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their 1-based line numbers. Blank lines are skipped.

    Raises:
        ConfigurationError: the file cannot be read, or a line is not a JSON object; names file and line.
    """
    for number, line in numbered_lines(path):
        try:
            yield number, parse_object(line)
        except ValueError as error:
            raise ConfigurationError(f"{path}, line {number}: {error}") from None


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The nonblank lines of a file with their 1-based numbers.

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
    """The JSON object in UTF-8 text, with or without a byte order mark.

    Raises:
        ValueError: the text is not a JSON object, or has a duplicate key or NaN. The message says why.
    """
    strict = partial(json.loads, object_pairs_hook=unique_keys, parse_constant=refuse_constant)
    value = _parsed(encoded, strict)
    if _SURROGATE.search(encoded):
        _refuse_half_surrogates(value)
    return value


def parse_leniently(encoded: bytes) -> dict[str, Any]:
    """The JSON object as the official scorers parse it: with NaN, half surrogate pairs and duplicate keys.

    The last value of a duplicate key counts.

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
    """Check that no string has half of a surrogate pair, which cannot be encoded. Raises ValueError."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a string has half of a surrogate pair (\\ud800 to \\udfff)") from None


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of these pairs, for `object_pairs_hook`. Raises ValueError where a key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} occurs twice in one object")
    return found


def refuse_constant(name: str) -> NoReturn:
    """Raises ValueError for NaN and infinities; for `parse_constant`."""
    raise ValueError(f"{name} is not a JSON value")
