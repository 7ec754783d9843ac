"""Short forms of a component's node: its name alone, or the name of a composition of strategies.

A node is `{name: NAME, knob: value, ...}`. "cot" stands for `{name: cot}`, and "greedy" for `{name: direct,
image_temperature: 0.0}`, on the command line and in Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from imug_tts.contracts import Backbone, Benchmark, Judge, Strategy, Tracker
from imug_tts.knobs import Knob

__all__ = ["COMPOSITIONS", "FIRST_STRATEGY", "Shared", "first_choice", "node_of"]

FIRST_STRATEGY: Final = "direct"
"""The default inner strategy."""

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
"""Nodes of named compositions of strategies."""


def node_of(kind: type, said: object) -> object:
    """Return the full node that `said`, a name or a node, stands for; other objects are returned as they are.

    Knobs in a composition's node override those of the composition.
    """
    node: object = {"name": said} if isinstance(said, str) else said
    if kind is Strategy and isinstance(node, Mapping) and node.get("name") in COMPOSITIONS:
        return {**COMPOSITIONS[node["name"]], **{key: value for key, value in node.items() if key != "name"}}
    return node


def first_choice(part: Knob) -> Mapping[str, Any] | None:
    """Return the default node of a part; None if the part has no default."""
    if part.part is not Strategy or part.is_optional or part.is_list:
        return None
    return {"name": FIRST_STRATEGY, **part.preset}


class Shared:
    """A cache of models, benchmarks and transcripts, which the arms of a study share."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}
        self._seen: list[object] = []
        """Component objects in nodes; kept alive, so that no other object gets the same `id`."""

    def once(self, kind: str, node: object, build: Any) -> Any:
        """Return the cached result of `build()` for an equal node of this kind; call it the first time."""
        known_as = f"{kind} {json.dumps(node, sort_keys=True, default=self._said)}"
        if known_as not in self._built:
            self._built[known_as] = build()
        return self._built[known_as]

    def _said(self, value: object) -> str:
        if not isinstance(value, (Backbone, Strategy, Judge, Benchmark, Tracker)):
            return str(value)
        self._seen.append(value)
        return f"object {id(value)}"  # two classes may write their objects in the same words
