"""Names of the runs of a study: their folders, and their titles in progress output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from imug_tts.composition import label
from imug_tts.records import digest
from imug_tts.runs.arm import Arm

__all__ = ["folder_name", "titles"]

_LONGEST_LABEL: Final = 120


def folder_name(arm: Arm) -> str:
    """Return the folder name of an arm's run: the strategy's label and a hash of the identity.

    The same arm always gets the same name, so that its run is found and resumed.
    """
    name = re.sub(r"[^A-Za-z0-9._+-]+", "_", label(arm.strategy))[:_LONGEST_LABEL]
    return f"{name}-{digest(arm.identity)[:8]}"


def titles(arms: Sequence[Arm]) -> list[str]:
    """Return a title for each run: its strategy, and the knobs in which the runs differ."""
    knobs = [dict(_leaves(_beside_the_strategy(arm))) for arm in arms]
    names = dict.fromkeys(key for each in knobs for key in each)
    differing = [key for key in names if any(each.get(key) != knobs[0].get(key) for each in knobs)]
    return [
        "  ".join([label(arm.strategy), *(f"{k}={_short(own[k])}" for k in differing if k in own)])
        for arm, own in zip(arms, knobs, strict=True)
    ]


def _beside_the_strategy(arm: Arm) -> dict[str, Any]:
    """Return the arm's identity without the strategy, with the selection of dialogues among the benchmark's
    knobs, as in a configuration.
    """
    known = arm.identity
    benchmark = known["benchmark"] | known["selection"]
    return {**{k: v for k, v in known.items() if k not in ("strategy", "selection")}, "benchmark": benchmark}


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
