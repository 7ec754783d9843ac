"""The words in which strategies and judges address a model: one folder a set, one file a prompt.

plan           asks for a plan of an image turn
follow_plan    hands over the plan, as `{plan}`
reason         asks for the reasoning of a text turn
follow_reason  hands over the reasoning, as `{plan}`
checklist      asks for one checklist of yes/no questions, one a line
check          puts one of them, as `{question}`, about the answer just given
feedback       asks for another attempt, with the points that failed as `{failed}`; an empty text
               says that the set has no words for it

check_all      puts all of them at once, as the numbered `{questions}`
compare        asks which of two answers is better, the first or the second
score_image    asks the scorer to grade an image for `{instruction}` on the evaluation `{points}`
resolve        asks the scorer for the right letters of a dynamic question, of this `{kind}`
unreadable     asks the scorer again, with the `{problem}` of its reply

A set may leave out the last five, and has the words of the default set for them.
A prompt is a part of every call's identity: changing its text makes new calls, never stale answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from imug_tts.contracts import ConfigurationError

__all__ = ["NAMES", "available", "load"]

NAMES: Final = (
    *("plan", "follow_plan", "reason", "follow_reason", "checklist", "check", "feedback"),
    *("check_all", "compare", "score_image", "resolve", "unreadable"),
)
"""The prompts that every set has."""

_DEFAULT: Final = "default"


def available() -> tuple[str, ...]:
    """The names of the prompt sets, sorted."""
    folders = (entry for entry in files(__package__).iterdir() if entry.is_dir())
    return tuple(sorted(folder.name for folder in folders if not folder.name.startswith("_")))


@cache
def load(set_name: str) -> Mapping[str, str]:
    """The texts of a set by name, surrounding white space stripped.

    Raises:
        ConfigurationError: there is no such set.
    """
    if set_name not in available():
        known = ", ".join(available())
        raise ConfigurationError(f"prompt set {set_name!r} does not exist; the backbone may declare {known}")
    return MappingProxyType({name: _read(set_name, name) for name in NAMES})


def _read(set_name: str, name: str) -> str:
    file = files(__package__) / set_name / f"{name}.txt"
    if not file.is_file():
        file = files(__package__) / _DEFAULT / f"{name}.txt"
    return file.read_text(encoding="utf-8").strip()
