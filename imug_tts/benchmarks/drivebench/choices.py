"""Whether a multiple-choice answer is right: by the official rule, and by one without its defects.

The official rule lower-cases a reply and takes the first of A, B, C, D that stands in it as a word. So it
reads the article of "B. There is a car" as option A, and takes an answer in which it finds no letter for
right whenever it finds none in the reference either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from imug_tts.final_text import final_text
from imug_tts.option_letters import option_letters, options_that_lines_begin_with

__all__ = ["accuracy", "chosen", "official_choice", "options_of"]

_LETTERS: Final = "ABCD"
_OPTION: Final = re.compile(r"(?<!\w)([A-D])[.)]\s*(.+?)(?=\s+[A-D][.)]\s|\s*\Z)", re.DOTALL)


def options_of(question: str) -> dict[str, str]:
    """The options that a question lists, by letter: {"A": "Going ahead", "B": "Turn left"}."""
    return {letter: text.rstrip(" .\n") for letter, text in _OPTION.findall(question)}


def official_choice(text: str) -> str:
    """The letter that the official code reads; empty for none."""
    lowered = text.strip().lower()
    return next((letter for letter in _LETTERS if re.search(rf"\b{letter.lower()}\b", lowered)), "")


def chosen(text: str, options: Mapping[str, str]) -> str:
    """The one option that a text chooses; empty where it chooses none, or more than one.

    A letter counts as `option_letters` says. Where that finds several, the one line that begins with an
    option decides; where it finds none, the one option whose words the text repeats.
    """
    said = final_text(text)
    letters = option_letters(said)
    if len(letters) > 1:
        letters = "".join(options_that_lines_begin_with(said))
    if not letters:
        words = said.lower()
        letters = "".join(letter for letter, option in options.items() if option.lower() in words)
    return letters if len(letters) == 1 and letters in (options or _LETTERS) else ""


def accuracy(answer: str, prediction: str, options: Mapping[str, str]) -> dict[str, Any]:
    """What a record keeps of a multiple-choice answer: whether it is right by either rule, and its letters.

    Without its defects, a prediction that chooses nothing is wrong.
    """
    wanted, found = chosen(answer, options), chosen(prediction, options)
    return {
        "right": bool(found) and found == wanted,
        "official_right": official_choice(answer) == official_choice(prediction),
        "chosen": found,
        "official_chosen": official_choice(prediction),
    }
