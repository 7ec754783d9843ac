"""Grade multiple-choice answers by the official rule, and by our rule, which avoids its two defects.

The official rule lower-cases a reply and takes the first of A, B, C, D that occurs in it as a word. So it
reads the article "a" of "B. There is a car" as option A. And if it finds no letter in the reference, it
accepts every answer in which it finds no letter.
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
    """Return the options that a question lists, by letter: {"A": "Going ahead", "B": "Turn left"}."""
    return {letter: text.rstrip(" .\n") for letter, text in _OPTION.findall(question)}


def official_choice(text: str) -> str:
    """Return the letter that the official code reads in a text; empty if it reads none."""
    lowered = text.strip().lower()
    return next((letter for letter in _LETTERS if re.search(rf"\b{letter.lower()}\b", lowered)), "")


def chosen(text: str, options: Mapping[str, str]) -> str:
    """Return the letter of the one option that a text chooses, by our rule; empty if it is not exactly one.

    `option_letters` finds the letters of a text. If it finds several, the line that begins with an option
    decides. If it finds none, the option whose words occur in the text is chosen.
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
    """Return whether a prediction is right, and the letter read in it, by our rule and by the official rule.

    By our rule, a prediction that chooses no option is wrong.

    Args:
        answer: the reference answer.
        prediction: the model's answer.
        options: the options of the question, by letter.
    """
    wanted, found = chosen(answer, options), chosen(prediction, options)
    return {
        "right": bool(found) and found == wanted,
        "official_right": official_choice(answer) == official_choice(prediction),
        "chosen": found,
        "official_chosen": official_choice(prediction),
    }
