"""The words in which strategies and judges address a model: prompt sets.

A set is an entry point in the group `imug_tts.prompts`: a package whose folder has one .txt file for each
prompt, as ours, or a mapping from names to texts. The prompts are:

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
unreadable     asks the scorer again, with the `{problem}` of its reply and the `{form}` that is wanted

A set may leave out the last five, and has the words of the default set for them.
A prompt is a part of every call's identity: changing its text makes new calls, never stale answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType, ModuleType
from typing import Any, Final

from imug_tts.contracts import ConfigurationError
from imug_tts.registry import entry, names, source_of

__all__ = ["NAMES", "available", "broken", "load", "own_names"]

NAMES: Final = (
    *("plan", "follow_plan", "reason", "follow_reason", "checklist", "check", "feedback"),
    *("check_all", "compare", "score_image", "resolve", "unreadable"),
)
"""The prompts that every set has."""

_DEFAULT: Final = "default"
_OPTIONAL: Final = frozenset(["check_all", "compare", "score_image", "resolve", "unreadable"])
"""Prompts that a set may leave out; it then has the words of the default set."""


def available() -> tuple[str, ...]:
    """The names of the prompt sets, sorted."""
    return tuple(names("prompts"))


@cache
def load(set_name: str) -> Mapping[str, str]:
    """The texts of a set by name, surrounding white space stripped.

    Raises:
        ConfigurationError: there is no such set, or it lacks a prompt.
    """
    texts = _texts(set_name, entry("prompts", set_name, "the backbone's prompt set"))
    missing = [name for name in NAMES if name not in texts and name not in _OPTIONAL]
    wrong = [name for name in NAMES if not isinstance(texts.get(name, ""), str)]
    if missing or wrong:
        raise ConfigurationError(
            f"the prompt set {set_name!r} of {source_of('prompts', set_name)} has no text for "
            f"{', '.join([*missing, *wrong])}"
        )
    spare = load(_DEFAULT) if set_name != _DEFAULT else {}
    return MappingProxyType({name: texts[name].strip() if name in texts else spare[name] for name in NAMES})


def broken(packages: Collection[str] | None = None) -> Iterator[str]:
    """Why prompt sets that are declared, by these packages or by any, cannot be used, one sentence each."""
    for name in available():
        if packages is None or source_of("prompts", name) in packages:
            try:
                load(name)
            except ConfigurationError as error:
                yield str(error)


def own_names(set_name: str) -> tuple[str, ...]:
    """The prompts for which a set has words of its own.

    Raises:
        ConfigurationError: there is no such set, or it lacks a prompt.
    """
    load(set_name)
    texts = _texts(set_name, entry("prompts", set_name, "the backbone's prompt set"))
    return tuple(name for name in NAMES if name in texts)


def _texts(name: str, prompt_set: Any) -> Mapping[str, str]:
    if isinstance(prompt_set, Mapping):
        return prompt_set
    if not isinstance(prompt_set, ModuleType):
        raise ConfigurationError(
            f"the prompt set {name!r} of {source_of('prompts', name)} is neither a mapping from names to "
            "texts nor a package with one .txt file for each prompt"
        )
    folder = files(prompt_set)
    found = {name: folder / f"{name}.txt" for name in NAMES}
    return {name: file.read_text(encoding="utf-8") for name, file in found.items() if file.is_file()}
