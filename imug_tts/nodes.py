"""What a configuration may say in place of a component's node: its name alone, or a composition.

A node is `{name: NAME, knob: value, ...}`. "cot" stands for `{name: cot}`, "greedy" for
`{name: direct, image_temperature: 0.0}`, on the command line as in Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from imug_tts.contracts import Backbone, Benchmark, Judge, Strategy, Tracker
from imug_tts.knobs import Knob

__all__ = ["COMPOSITIONS", "FIRST_STRATEGY", "Shared", "first_choice", "node_of"]

FIRST_STRATEGY: Final = "direct"
"""What a strategy wraps where nothing else is chosen."""

COMPOSITIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    # One greedy draw costs no more than direct, and shows how much of a gain is sharpening alone.
    "greedy": {"name": "direct", "image_temperature": 0.0},
    # Drafts that follow a plan, checked.
    "self_verify_cot": {"name": "self_verify", "inner": "cot"},
    # The best of drafts that follow a plan each, that are checked, or both.
    "best_of_n_cot": {"name": "best_of_n", "inner": "cot"},
    "best_of_n_self_verify": {"name": "best_of_n", "inner": "self_verify"},
    "best_of_n_self_verify_cot": {"name": "best_of_n", "inner": "self_verify_cot"},
    # Best-of-N whose selector is the scorer itself: what perfect selection would reach.
    "oracle_best_of_n": {"name": "best_of_n", "judge": "exact"},
}
"""Strategies under a name of their own: what each is made of."""


def node_of(kind: type, said: object) -> object:
    """The node of a component's own name that `said` stands for; what is neither name nor node, as it is.

    Knobs of a composition's node replace those of the composition.
    """
    node: object = {"name": said} if isinstance(said, str) else said
    if kind is Strategy and isinstance(node, Mapping) and node.get("name") in COMPOSITIONS:
        return {**COMPOSITIONS[node["name"]], **{key: value for key, value in node.items() if key != "name"}}
    return node


def first_choice(part: Knob) -> Mapping[str, Any] | None:
    """The node that a part has before anything is chosen for it; None where there is none."""
    if part.part is not Strategy or part.is_optional or part.is_list:
        return None
    return {"name": FIRST_STRATEGY, **part.preset}


class Shared:
    """Models, benchmarks and transcripts that were built before, so that the arms of a study share them."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}
        self._seen: list[object] = []
        """Objects that stood in nodes: while they are kept, no other object has their number."""

    def once(self, kind: str, node: object, build: Any) -> Any:
        """What `build()` gave when it was first asked for an equal node."""
        known_as = f"{kind} {json.dumps(node, sort_keys=True, default=self._said)}"
        if known_as not in self._built:
            self._built[known_as] = build()
        return self._built[known_as]

    def _said(self, value: object) -> str:
        if not isinstance(value, (Backbone, Strategy, Judge, Benchmark, Tracker)):
            return str(value)
        self._seen.append(value)
        return f"object {id(value)}"  # two classes may write their objects in the same words
