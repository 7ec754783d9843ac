"""The table of a class's knobs: type, default, range, meaning, and whether a knob changes results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING
from typing import Any, Final

from experiments.type_words import type_in_words
from imug_tts.contracts import Benchmark, Judge, Strategy
from imug_tts.knobs import Knob, knobs_of

__all__ = ["PIPE", "knob_rows", "knob_table"]

PIPE: Final = r"\|"
"""The sign | in a cell of a table, in code and outside it."""

_TABLE: Final = (
    "| knob | type | default | range | meaning | changes results |",
    "|---|---|---|---|---|---|",
)


def knob_table(cls: type, leave_out: Sequence[str] = ()) -> Iterator[str]:
    """The lines of the table, after an empty one."""
    rows = [row for name, row in knob_rows(cls) if name not in leave_out]
    yield from ["", *_TABLE, *rows] if rows else ["", "It has no knobs."]


def knob_rows(cls: type, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The name of each knob, and its line of the table."""
    for name, knob in knobs_of(cls).items():
        is_group = isinstance(knob.hint, type) and bool(knobs_of(knob.hint)) and knob.part is None
        default = "" if is_group else _default(knob)
        shown = (f"`{prefix}{name}`", type_in_words(knob.hint), default, _range(knob), knob.meaning)
        yield name, f"| {' | '.join(cell.replace('|', PIPE) for cell in (*shown, _effect(knob)))} |"
        if is_group:
            yield from knob_rows(knob.hint, f"{prefix}{name}.")


def _range(knob: Knob) -> str:
    """The range of values; a pattern is code, so that Markdown keeps its signs."""
    return re.sub(r"(?<=of the form )(\S+)", r"`\1`", knob.range)


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
