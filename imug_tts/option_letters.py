"""The letters of options that a reply in words chooses."""

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
"""What a reply calls its answer."""
_OPTION: Final = re.compile(r"\W*([A-G])[.):](?=\s)")


def option_letters(said: str) -> str:
    """The option letters A-G of a reply without its reasoning, sorted; empty for none.

    Letters may stand alone ("A, C") or joined ("CA"): both are "AC". Of a longer reply the letters count that
    it calls its answer; else those of a last or first line of letters alone, or of the options that all its
    lines begin with ("B. A red circle"); else all, where the article "A" is no letter, and letters are joined
    in alphabetical order only ("AC", not "BAD").
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
    """The letters of the lines that begin with an option, e.g. "B. A red circle", in order."""
    return [option[1] for line in said.splitlines() if (option := _OPTION.match(line))]


def _is_letters(line: str) -> bool:
    words = re.findall(r"[^\W_]+", line)
    return any(map(_LETTERS.fullmatch, words)) and all(_LETTERS.fullmatch(w) or w == "and" for w in words)
