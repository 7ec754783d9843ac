"""Names of arms: the strategy's label and, where several arms share it, what tells each apart.

`best_of_4+cot` is the only arm of its label; `best_of_4+cot @ budget.images=2` is one of several.
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
    """The name of an arm: its label, and each setting in which it differs from others of that label."""
    told = " ".join(f"{key}={value}" for key, value in settings)
    return f"{label} @ {told}" if told else label


def short_name(identity: str) -> str:
    """The name at the head of an identity such as "pocket:1:2fd4e1c67a2d28fc"."""
    return identity.partition(":")[0]


def label_of(name: str) -> str:
    """The strategy's label in the name of an arm."""
    match = _NAME.fullmatch(name)
    return match["label"] if match else name


def setting_of(name: str) -> str:
    """What the name of an arm says beside the label: "budget.images=2"; empty where it says no more."""
    match = _NAME.fullmatch(name)
    return match["setting"] if match else ""


@lru_cache
def layers(name: str) -> tuple[str, ...]:
    """The layers of an arm or a label, outer to inner: "a[k=1]+b" gives ("a[k=1]", "b")."""
    return tuple(separated(label_of(name), "+"))


def is_part_of(part: str, whole: str) -> bool:
    """Whether `part` has a proper subsequence of the layers of `whole`, under the same settings."""
    inside = iter(layers(whole))
    return (
        part != whole
        and setting_of(part) == setting_of(whole)
        and all(layer in inside for layer in layers(part))
    )


def separated(text: str, separator: str) -> list[str]:
    """The pieces of `text` between separators that stand outside of square brackets."""
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
