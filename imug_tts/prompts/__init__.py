"""Prompt sets: the texts with which strategies and judges prompt a model.

A set is an entry point in the group `imug_tts.prompts`: a package whose folder has one .txt file per prompt,
or a mapping from names to texts. The prompts are:

plan           asks for a plan of an image turn
follow_plan    tells the generator to follow the plan `{plan}`
reason         asks for the reasoning of a text turn
follow_reason  tells the generator to follow the reasoning `{plan}`
checklist      asks for one checklist of yes/no questions, one per line
check          asks one question of it, `{question}`, about the last answer of the history
feedback       asks for another attempt, with the failed points `{failed}`; an empty text means that the
               model cannot use feedback

check_all      asks all questions of a checklist in one call, as the numbered `{questions}`
compare        asks which of two answers is better, the first or the second
score_image    asks the scorer to grade an image for `{instruction}` on the evaluation `{points}`
resolve        asks the scorer for the right letters of a dynamic question, of this `{kind}`
unreadable     asks the scorer again, with the `{problem}` of its reply and the `{form}` that is wanted

A set may leave out the last five; the texts of the default set are then used. A prompt is part of a call's
identity: changing its text makes new calls, so the cache never returns answers to an old text.
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
"""Prompts that a set may leave out; the texts of the default set are then used."""


def available() -> tuple[str, ...]:
    """Return the names of the prompt sets, sorted."""
    return tuple(names("prompts"))


@cache
def load(set_name: str) -> Mapping[str, str]:
    """Return the texts of a set by name, without surrounding white space.

    Raises:
        ConfigurationError: the set does not exist, or lacks a prompt.
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
    """Yield why declared prompt sets, of `packages` or of all, cannot be used, one sentence each."""
    for name in available():
        if packages is None or source_of("prompts", name) in packages:
            try:
                load(name)
            except ConfigurationError as error:
                yield str(error)


def own_names(set_name: str) -> tuple[str, ...]:
    """Return the prompts that a set itself has texts for, i.e. that do not come from the default set.

    Raises:
        ConfigurationError: the set does not exist, or lacks a prompt.
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
