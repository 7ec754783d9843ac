"""Splits a model's reply into lines without markup: fences, headings, bullets, numbers, tables, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

__all__ = ["Json", "Line", "json_in", "lines", "plain"]

_FENCE: Final = re.compile(r"\s*(?:```|~~~)[\w+-]*\s*$")
_RULE: Final = re.compile(r"\s*(?:[-*_=]\s*){3,}$")
_UNDERLINE: Final = re.compile(r"\s*={3,}\s*$")
_TABLE_RULE: Final = re.compile(r"(?=[^|]*\|)\s*\|?(?:\s*:?-{2,}:?\s*\|?)+\s*$")
_ROW: Final = re.compile(r"\s*\|(?P<cells>.*?)\|?\s*$")
_HEADING: Final = re.compile(r"\s*#{1,6}\s")
_INLINE_TAG: Final = re.compile(r"</?(?:b|i|em|strong|u|span|code)>", re.IGNORECASE)
_BLOCK_TAG: Final = re.compile(
    r"</?(?:checklist|questions?|items?|li|ol|ul|p|br|div|output|response|result|final|final_answer|pre)\s*/?>",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(
    r"(?:(?:question|check|item|point|criterion|answer|q|a)\s*[#№]?\s*|问题\s*|第)?"
    r"[\[(（]?(?P<number>\d{1,3})"
    r"(?:[\])）]\s*[.:]?|[.:、：．]|题[.:：、]?|\s+[-–—](?=\s)|(?=\s+(?:yes|no)\b))(?!\d)\s*",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(r"(?:question|q)\s*#?\s*(?P<number>\d{1,3})\b[\s*_]*[:.–—-]?\s*", re.IGNORECASE)
_BULLET: Final = re.compile(
    r"(?:[-*+](?=\s|\[)|[•–—‣◦▪●○□☐☑✓✔✅☒❌·](?:️)?|\[[ xX✓✔]?\]|\(?[A-Ha-h][.)](?=\s)|Q[.:](?=\s))\s*"
)
_ESCAPE: Final = re.compile(r"\\([-.)*_#\[\]!])")
_OPENING: Final = re.compile(r"(?:\*\*|__|`)+")
_EMPHASIS: Final = re.compile(r"\*\*|__|~~|`|(?<!\w)[*_]+(?=\S)|(?<=\S)[*_]+(?!\w)")
_BOLD_LABEL: Final = re.compile(
    r"^\s*(?:\*\*|__)[^*_?？]+(?:[:：]\s*(?:\*\*|__)|(?:\*\*|__)\s*[:：–—-])\s*"
    r"(?!\s|\w+\s+(?:it|they|this|that|these|those|he|she|its|their)\b)(?=.*[?？؟])"
)
_QUOTES: Final = "\"'“”‘’«»「」『』"


class Line(NamedTuple):
    """A non-empty line without markup."""

    text: str
    number: int | None = None
    """The number at the start of the line."""
    listed: bool = False
    """Whether the line is a list item or a table row."""
    heading: bool = False
    after_gap: bool = False
    """Whether an empty line precedes it."""


class Json(NamedTuple):
    """A JSON list or object in a text, and its position."""

    value: list[Any] | dict[str, Any]
    start: int
    end: int


def json_in(text: str) -> list[Json]:
    """Return the non-empty JSON lists and objects of a text; those nested in others are not listed."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates)
    found: list[Json] = []
    at = 0
    while opening := re.compile(r"[\[{]").search(text, at):
        at = opening.end()
        try:
            value, end = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            continue
        if value and not all(type(item) in (int, float) for item in value):
            found.append(Json(value, opening.start(), end))
            at = end
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice, and only one of its values could be read")
    return dict(pairs)


def lines(text: str) -> list[Line]:
    """Return the non-empty lines of a text; table headers and table rules are left out."""
    found: list[Line] = []
    gap = False
    for raw in _content(_BLOCK_TAG.sub("\n", _INLINE_TAG.sub("", text)).splitlines()):
        if not raw.strip():
            gap = True
        elif not (_FENCE.match(raw) or _RULE.match(raw)):
            line = _clean(raw)
            if line.text or line.number is not None:
                found.append(line._replace(after_gap=gap))
                gap = False
    return found


def plain(text: str) -> str:
    """Return a line without emphasis, a bold label before a question, quotes and list commas."""
    text = _EMPHASIS.sub("", _BOLD_LABEL.sub("", text)).strip()
    inner = text.rstrip(",; ")
    quoted = len(inner) > 1 and inner[0] in _QUOTES and inner[-1] in _QUOTES
    return inner[1:-1].strip() if quoted else text


def _content(raw: Sequence[str]) -> Iterator[str]:
    for line, following in pairwise([*raw, ""]):
        heads_a_table = "|" in line and _TABLE_RULE.match(following)
        if not (heads_a_table or _TABLE_RULE.match(line) or _UNDERLINE.match(following)):
            yield line


def _clean(raw: str) -> Line:
    if row := _ROW.match(raw):
        return _table_row([cell.strip() for cell in row["cells"].split("|")])
    rest, number, listed = _ESCAPE.sub(r"\1", raw.strip().lstrip("#> \t")), None, False
    # Bullets, boxes, numbers and emphasis can be combined: "- [ ] **1.** Is it red?"
    while marker := _marker(rest, wants_number=number is None):
        listed = True
        number = int(marker["number"]) if "number" in marker.re.groupindex else number
        rest = marker.string[marker.end() :]
    return Line(plain(rest), number, listed, heading=_HEADING.match(raw) is not None)


def _marker(text: str, wants_number: bool) -> re.Match[str] | None:
    bare = _OPENING.sub("", text, count=1) if _OPENING.match(text) else text
    found = _BULLET.match(text) or _BULLET.match(bare)
    if found is None and wants_number:
        found = _NUMBER.match(bare) or _NAMED.match(bare)
    return found


def _table_row(cells: Sequence[str]) -> Line:
    """Return the line of a table row; the number in the first cell is the line's number."""
    first = _clean(cells[0]) if cells[0] and not cells[0].isdigit() else Line("", _number(cells[0]), True)
    texts = [first.text, *(_clean(cell).text for cell in cells[1:] if cell)]
    return Line(" | ".join(text for text in texts if text), first.number, listed=True)


def _number(cell: str) -> int | None:
    return int(cell) if cell.isdigit() and len(cell) <= 3 else None
