"""Names of the types of knobs in plain English."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from imug_tts.contracts import Backbone, Benchmark, Judge, Strategy, Tracker
from imug_tts.knobs import knobs_of

__all__ = ["type_in_words"]

_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    types.NoneType: "null",
    Any: "any value",
    Strategy: "a strategy",
    Judge: "a judge",
    Backbone: "a backbone",
    Benchmark: "a benchmark",
    Tracker: "a tracker",
}
_OF_MANY: Final[Mapping[Any, str]] = {
    int: "whole numbers",
    float: "numbers",
    str: "texts",
    Path: "paths",
    Strategy: "strategies",
    Judge: "judges",
    Backbone: "backbones",
}


def type_in_words(hint: Any) -> str:
    """The name of a type for a table, e.g. "a whole number or null"."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_in_words(inner[0])
    if origin is Literal:
        return f"one of: {', '.join(map(str, inner))}"
    if origin in (Union, types.UnionType):
        return _either(list(dict.fromkeys(map(type_in_words, inner))))
    if origin in (tuple, list, set, frozenset):
        return f"list of{_many(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of names to values ({type_in_words(inner[1])})"
    if isinstance(hint, type) and knobs_of(hint):
        return "a group of knobs"
    return _WORDS.get(hint) or str(getattr(hint, "__name__", hint))


def _either(words: list[str]) -> str:
    """The words as an enumeration, "a, b or c"."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _many(hint: Any) -> str:
    """The element type after "list of"."""
    if get_origin(hint) is Annotated:
        return _many(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return f": {', '.join(map(str, get_args(hint)))}"
    return f" {_OF_MANY[hint]}" if hint in _OF_MANY else f": {type_in_words(hint)}"
