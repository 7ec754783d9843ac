"""Scores of multiple-choice answers, in [0, 1].

`official` is the rule of the IMUG-Bench scorer (https://github.com/ccccEsion/IMUG-Bench), reproduced exactly,
so that scores are comparable with published ones. It finds no letter in a joined answer such as "AB", in the
response or in the reference, and scores every such item 0. `corrected` fixes this and nothing else: the two
agree where no letters are joined.

`corrected` reads a word of two or more letters A-G as joined letters:

* in a reference, always, because references are letters;
* in a response of nothing but letters and separators ("BA", "A, CB"), always, even if it spells a word;
* in a response with other words, only if the run is strictly ascending, as sets of options are written:
  "The answer is AC" is {A, C}, while "BAD", "DAD" and "CAFE" are words. Some words ascend too ("ACE").

Both read a single capital letter in prose as an option ("A circle" is read as A): no rule can distinguish the
article from the option, and guessing would change scores for other reasons than the defect.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

__all__ = ["DYNAMIC", "RULES", "Rule", "corrected", "official", "united"]

Rule = Literal["official", "corrected"]

DYNAMIC: Final = "<DYNAMIC>"
"""Marks a reference that depends on outputs of the model; letters before the mark are right in any case."""

_LETTERS_ONLY: Final = re.compile(r"[A-G\s,.;\-]+")


def official(response: str, answer: str) -> float:
    """Return the score of a response by the official rule, rounded to 4 places."""
    return _score(_single(response), _single(answer), response)


def corrected(response: str, answer: str) -> float:
    """Return the score of a response by the rule that also reads joined letters, rounded to 4 places."""
    predicted = _single(response) | _joined_in_response(response)
    return _score(predicted, _single(answer) | _joined(answer), response)


RULES: Final[dict[Rule, Callable[[str, str], float]]] = {"official": official, "corrected": corrected}
"""Scoring rules by name; each takes (response, answer)."""


def united(answer: str, determined: object) -> str:
    """Return the reference letters of a dynamic question, joined and sorted, e.g. "ABD".

    They are the letters of `answer` before `<DYNAMIC>` and the letters of `determined`, a JSON value from a
    scoring model. As in the official parser, every letter A-G of its upper-case form counts, so prose such as
    "none" gives letters: the scoring model must answer with letters only.
    """
    fixed = re.findall("[A-G]", answer.split(DYNAMIC)[0])
    return "".join(sorted({*fixed, *re.findall("[A-G]", str(determined).upper())}))


def _score(predicted: set[str], expected: set[str], response: str) -> float:
    if not expected:
        return 0.0
    share = (len(predicted & expected) - len(predicted - expected)) / len(expected)
    return round(max(0.0, share) * _format_weight(response), 4)


def _format_weight(response: str) -> float:
    """Return 1 for letters only, 0.75 for letters and separators, 0.5 for other text, 0 for empty text."""
    if not response:
        return 0.0
    if re.fullmatch("[A-G]+", response.strip()):
        return 1.0
    return 0.75 if _LETTERS_ONLY.fullmatch(response.strip()) else 0.5


def _single(text: str) -> set[str]:
    return set(re.findall(r"\b([A-G])\b", text))


def _joined(text: str) -> set[str]:
    return {letter for run in re.findall(r"\b[A-G]{2,}\b", text) for letter in run}


def _joined_in_response(response: str) -> set[str]:
    if _LETTERS_ONLY.fullmatch(response):
        return _joined(response)
    runs: list[str] = re.findall(r"\b[A-G]{2,}\b", response)
    return {letter for run in runs if list(run) == sorted(set(run)) for letter in run}
