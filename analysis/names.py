"""Names of arms: the strategy's label and, if several arms share it, the settings in which they differ.

`best_of_4+cot` is the only arm with its label; `best_of_4+cot @ budget.images=2` is one of several.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

__all__ = [
    "SWAP",
    "arm_name",
    "is_part_of",
    "label_of",
    "layers",
    "separated",
    "setting_of",
    "short_name",
    "swapped",
]

SWAP: Final = "swap:"
"""Begins the name of a history that another arm produced."""

_NAME = re.compile(r"(?P<label>.+?) @ (?P<setting>[\w.]+=.*)", re.DOTALL)


def arm_name(label: str, settings: Iterable[tuple[str, str]]) -> str:
    """The name of an arm: its label and the settings in which it differs from other arms with that label."""
    told = " ".join(f"{key}={value}" for key, value in settings)
    return f"{label} @ {told}" if told else label


def short_name(identity: str) -> str:
    """The name at the beginning of an identity, e.g. "pocket" of "pocket:1:2fd4e1c67a2d28fc"."""
    return identity.partition(":")[0]


def label_of(name: str) -> str:
    """The strategy's label in the name of an arm."""
    match = _NAME.fullmatch(name)
    return match["label"] if match else name


def setting_of(name: str) -> str:
    """The settings in the name of an arm, e.g. "budget.images=2"; empty if the name has none."""
    match = _NAME.fullmatch(name)
    return match["setting"] if match else ""


@lru_cache
def layers(name: str) -> tuple[str, ...]:
    """The layers of an arm or a label, outermost first: "a[k=1]+b" gives ("a[k=1]", "b")."""
    return tuple(separated(label_of(name), "+"))


def is_part_of(part: str, whole: str) -> bool:
    """Whether the layers of `part` are a proper subsequence of the layers of `whole`, under equal
    settings.
    """
    inside = iter(layers(whole))
    return (
        part != whole
        and setting_of(part) == setting_of(whole)
        and all(layer in inside for layer in layers(part))
    )


def separated(text: str, separator: str) -> list[str]:
    """The pieces of `text` between separators that are outside square brackets."""
    pieces, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == separator and depth == 0:
            pieces.append(text[start:position])
            start = position + 1
    return [*pieces, text[start:]]


def swapped(name: str) -> str:
    """The name of the history that the arm `name` produced and another arm answers on."""
    return f"{SWAP}{name}"
