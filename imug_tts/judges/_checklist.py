"""Parses the questions of a checklist that a model wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from imug_tts.final_text import final_text
from imug_tts.judges._lines import Line, json_in, lines

__all__ = ["read_checklist"]

_ENDS: Final = "[?？؟]"
_ASKS: Final = (
    r"(?:Is|Are|Was|Were|Am|Does|Do|Did|Has|Have|Had|Can|Could|Will|Would|Should|Must|May"
    r"|Isn't|Aren't|Doesn't|Don't|Hasn't|Haven't)\b"
)
_NEXT: Final = re.compile(
    rf"(?<={_ENDS})\s*(?=(?:\(?\d{{1,2}}[.)、]\s*)?{_ASKS})|(?<=？)[ \t]*(?=[^\s(（][^？\n]*？)"
)
"""Boundary between two questions on the same line."""
_LEAD: Final = re.compile(
    rf"^(?!{_ASKS})[^?？؟]*?(?:[.!:]|\s[–—-])\s+[\"“(]?(?={_ASKS}\s+(?!(?:it|they|this|that|these|those)\b))"
)
"""A label or sentence before a question that is clear without it."""
_BROKEN_JSON: Final = re.compile(
    rf'^\s*(?:[\[{{]\s*)*"(?:\w+"\s*:\s*"|)(?=[^"\n]*{_ENDS}"?\s*[,\]}}]*\s*$)', re.MULTILINE
)
"""Characters around a question in JSON that was cut off."""
_NEXT_STRING: Final = re.compile(rf'(?<={_ENDS}")\s*,\s*(?=")')

_TAIL: Final = re.compile(
    r"\s*(?:[\"'”’»」』)\].,;]*|[(\[（][^()\[\]（）]*[)\]）]\.?"
    r"|(?:[\s\-–—:/|,()\[\]☐☑□✓✔✅❌_.*]|\byes\b|\bno\b|\bor\b|\by/n\b|\btrue\b|\bfalse\b)*)",
    re.IGNORECASE,
)
"""What may follow the question mark: closing quotes, a remark in parentheses, "yes or no"."""
_PROSE: Final = re.compile(rf"(?!{_ASKS}).*[.!]\s+[A-Z]")
"""Several sentences, of which only the last is a question."""
_OPEN: Final = re.compile(r"\b(?:what|which|who|whom|whose|where|when|why|how)\b", re.IGNORECASE)
_CHATTER: Final = re.compile(
    r"\b(?:would|do|did|don't|if) you (?:like|want|need|prefer|have any|wish)\b"
    r"|\b(?:shall|should|may|can|could|do) (?:i|we)\b"
    r"|\b(?:want|need|like|prefer) me to\b"
    r"|\b(?:can|could|would|will) you (?:please\b|provide|share|send|upload|show me|clarify|attach"
    r"|confirm|tell)"
    r"|\banything else (?:you|i|we|that (?:you|i|we)|to (?:add|check|verify|help))\b"
    r"|\b(?:this|the|that|my|another) (?:checklist|list)\b"
    r"|\byou (?:asked|requested)\b"
    r"|^(?:does|is|would|will|did) (?:this|that) (?:help|work|suffice|do|make sense|look|sound|clear|okay|ok"
    r"|helpful|enough|fine|what you|all)\b",
    re.IGNORECASE,
)
"""Questions to the reader of the reply, not about the answer that is checked."""
_NOTES: Final = re.compile(r"[a-z0-9]+(?: [a-z0-9]+)+")
_SAYS_NOTHING: Final = re.compile(r"\W*(?:yes|no|none|n/a)?\W*", re.IGNORECASE)
_KEYS: Final = ("question", "check", "item", "point", "criterion", "statement", "text")


def read_checklist(reply: str) -> list[str]:
    """Return the distinct yes/no questions of a reply, in order.

    A question is a line, an item or a table cell that ends with a question mark, without markup. Headings,
    open questions ("What color ...?") and questions to the reader ("Shall I go on?") are ignored. If no line
    ends with a question mark, list items are the points to check, because some models write statements.
    Without a list, a reply of one line of lower-case words is one point (the notes of the pocket model).
    Prose is never a question.
    """
    text = final_text(reply)
    found = [line for line in lines(_one_a_line(text)) if not line.heading]
    marked = [question for line in found for question in _marked(line)]
    if marked:
        read = [question for question in marked if _is_about_the_answer(question)]
    else:
        read = [*_points(found)] or ([text] if _NOTES.fullmatch(text) else [])
    return list(dict.fromkeys(" ".join(question.split()) for question in read))


def _one_a_line(text: str) -> str:
    """Return `text` with each JSON string as a list item, and each question on its own line."""
    for found in reversed(json_in(text)):
        leaves = [" ".join(leaf.split()) for leaf in _leaves(found.value)]
        items = [leaf for leaf in leaves if re.search(f"{_ENDS}$", leaf)] or [*_statements(found.value)]
        if items or isinstance(found.value, dict):
            listed = "".join(f"\n- {item}" for item in items)
            text = f"{text[: found.start]}{listed}\n{text[found.end :]}"
    return _NEXT.sub("\n", _BROKEN_JSON.sub("- ", _NEXT_STRING.sub("\n", text)))


def _leaves(value: Any) -> Iterator[str]:
    """Yield the strings in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)


def _statements(value: Any) -> Iterator[str]:
    """Yield the strings of lists, and the values of keys that denote a point to check."""
    for item in value if isinstance(value, list) else value.values():
        if isinstance(item, str) and isinstance(value, list):
            yield " ".join(item.split())
        elif isinstance(item, list | dict):
            yield from _statements(item)
    if isinstance(value, dict):
        yield from (value[key] for key in _KEYS if isinstance(value.get(key), str))


def _marked(line: Line) -> Iterator[str]:
    """Yield the questions of a line; nothing for a line of prose."""
    for cell in line.text.split(" | "):
        question = _up_to_mark(cell)
        if question and (line.listed or not _PROSE.match(question)):
            yield question


def _up_to_mark(cell: str) -> str:
    """Return the question that ends a cell; empty if the cell does not end with a question."""
    end = max(cell.rfind(mark) for mark in "?？؟") + 1
    if not end or not _TAIL.fullmatch(cell, end):
        return ""
    question = _LEAD.sub("", cell[:end])
    quote = cell[end : end + 1]
    opened = (quote == '"' and question.count('"') % 2) or (quote == "”" and "“" in question)
    return question + quote if opened else question


def _is_about_the_answer(question: str) -> bool:
    if len(question.split()) < 2 and question.isascii():
        return False
    return not (_OPEN.match(question) or _CHATTER.search(question))


def _points(found: Sequence[Line]) -> Iterator[str]:
    for line in found:
        text = max(line.text.split(" | "), key=len)
        if line.listed and not text.endswith((":", "：")) and not _SAYS_NOTHING.fullmatch(text):
            yield text
