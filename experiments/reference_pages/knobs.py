"""The table of a class's knobs: type, default, range, meaning, and whether a knob changes results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING
from typing import Any, Final

from experiments.type_words import type_in_words
from imug_tts.contracts import Benchmark, Judge, Strategy
from imug_tts.knobs import Knob, knobs_of

__all__ = ["knob_table"]

_TABLE: Final = (
    "| knob | type | default | range | meaning | changes results |",
    "|---|---|---|---|---|---|",
)


def knob_table(cls: type) -> Iterator[str]:
    """The lines of the table, after an empty one."""
    rows = [*_rows(cls)]
    yield from ["", *_TABLE, *rows] if rows else ["", "It has no knobs."]


def _rows(cls: type, prefix: str = "") -> Iterator[str]:
    for name, knob in knobs_of(cls).items():
        is_group = isinstance(knob.hint, type) and bool(knobs_of(knob.hint)) and knob.part is None
        default = "" if is_group else _default(knob)
        shown = (f"`{prefix}{name}`", type_in_words(knob.hint), default, knob.range, knob.meaning)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in (*shown, _effect(knob)))} |"
        if is_group:
            yield from _rows(knob.hint, f"{prefix}{name}.")


def _default(knob: Knob) -> str:
    if knob.default is not MISSING:
        return f"`{json.dumps(knob.default, default=_plain)}`"
    if knob.is_list:
        return "must be set"
    first: dict[type | None, str] = {
        Strategy: "`direct`",
        Judge: "the run's judge",
        Benchmark: "the run's benchmark",
    }
    return first.get(knob.part, "must be set")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (set, frozenset)) else str(value)


def _effect(knob: Knob) -> str:
    if knob.selects:
        return "picks dialogues"
    return "no" if knob.runtime else "yes"
