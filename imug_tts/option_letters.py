"""Parses the letters of the options that a reply chooses."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["option_letters", "options_that_lines_begin_with"]

_LETTERS: Final = re.compile(r"\b[A-G]+\b")
_ARTICLE: Final = re.compile(
    r"\bA(?=\s+(?!(?:and|or|is|are|was|because|since|as|but|if|so|for|seems|looks|fits|matches|shows)\b)"
    r"[a-z]{2,}\b)"
)
_CALLED: Final = re.compile(
    r"\b[Aa]nswers?\b\W*(?:(?:is|are)\b\W*)?(?:[Oo]ptions?\W+)?((?:\b[A-G]+\b(?:\W+and\b)?\W*)+)"
)
"""Letters after a label such as "Answer:"."""
_OPTION: Final = re.compile(r"\W*([A-G])[.):](?=\s)")


def option_letters(said: str) -> str:
    """Return the option letters A-G of a reply without its reasoning, sorted; empty if it has none.

    Letters may be separate ("A, C") or joined ("CA"): both give "AC". The letters are taken from the first of
    these that exists: the last labelled answer; a last or first line of letters only; the options that all
    lines begin with ("B. A red circle"); the whole text. The article "A" is not a letter, and in the whole
    text joined letters must be in alphabetical order ("AC", not "BAD").
    """
    named = _ARTICLE.sub("a", said)
    lines, called = [line for line in named.splitlines() if line.strip()], _CALLED.findall(named)
    alone = [line for line in (*lines[-1:], *lines[:1]) if _is_letters(line)]
    options = options_that_lines_begin_with(named)
    if called or alone:
        runs = _LETTERS.findall((called[-1:] or alone)[0])
    elif options and len(options) == len(lines):
        runs = options
    else:
        runs = [run for run in _LETTERS.findall(named) if list(run) == sorted(set(run))]
    return "".join(sorted(set("".join(runs))))


def options_that_lines_begin_with(said: str) -> list[str]:
    """Return the letters of the lines that begin with an option, e.g. "B. A red circle", in order."""
    return [option[1] for line in said.splitlines() if (option := _OPTION.match(line))]


def _is_letters(line: str) -> bool:
    words = re.findall(r"[^\W_]+", line)
    return any(map(_LETTERS.fullmatch, words)) and all(_LETTERS.fullmatch(w) or w == "and" for w in words)
