"""The fifteen tasks of the pocket world: the operations and things of their requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from imug_tts.benchmarks.pocket_world.world import NATURE, SHAPES

TaskClass = Literal["static_spatial", "temporal_causal", "hybrid"]
Kind = Literal[
    "add", "add_beside", "add_anywhere", "move", "move_beside", "swap", "remove", "paint",
    "mix", "gravity", "wind", "wait",
]  # fmt: skip
CAUSAL: Final[frozenset[Kind]] = frozenset({"mix", "gravity", "wind", "wait"})


@dataclass(frozen=True, slots=True)
class Task:
    """A named task. The weights give the probabilities of operation kinds and of families of things."""

    name: str
    task_class: TaskClass
    kinds: dict[Kind, float]
    things: dict[str, float]


_SHAPES: Final = dict.fromkeys(SHAPES, 1.0)
_PLANTS: Final = {"seed": 3.0, "sprout": 2.0, "flower": 1.0}


def _with_shapes(**nature: float) -> dict[str, float]:
    unknown = set(nature) - set(NATURE)
    if unknown:
        raise ValueError(f"not things of the world: {sorted(unknown)}")
    return {**dict.fromkeys(SHAPES, 0.5), **nature}


TASKS: Final = (
    Task("placement", "static_spatial", {"add": 3, "add_anywhere": 2, "move": 3, "remove": 2}, _SHAPES),
    Task("relations", "static_spatial",
         {"add_beside": 3, "move_beside": 4, "add_anywhere": 2, "remove": 2, "swap": 1}, _SHAPES),
    Task("recolouring", "static_spatial", {"paint": 5, "add_anywhere": 2, "move": 2, "remove": 1}, _SHAPES),
    Task("swaps", "static_spatial", {"swap": 5, "add_anywhere": 2, "move": 2, "remove": 1}, _SHAPES),
    Task("clearing", "static_spatial", {"remove": 4, "add": 2, "add_anywhere": 2, "move_beside": 2}, _SHAPES),
    Task("gravity", "temporal_causal", {"gravity": 3, "add_anywhere": 2, "wind": 3, "mix": 1}, _SHAPES),
    Task("wind", "temporal_causal", {"wind": 6, "add_anywhere": 2, "gravity": 1, "wait": 1},
         _with_shapes(seed=1, ice=1)),
    Task("mixing", "temporal_causal", {"mix": 4, "add_anywhere": 2, "wind": 3, "gravity": 1}, _SHAPES),
    Task("growth", "temporal_causal", {"wait": 4, "add_anywhere": 2, "wind": 3, "gravity": 1},
         _with_shapes(**_PLANTS)),
    Task("spread", "temporal_causal", {"wait": 3, "add_anywhere": 2, "wind": 4, "gravity": 1},
         _with_shapes(fire=4, ash=1, **_PLANTS)),
    Task("melting", "temporal_causal", {"wait": 3, "add_anywhere": 2, "wind": 3, "gravity": 2},
         _with_shapes(ice=4, water=3, ash=1)),
    Task("move_and_drop", "hybrid",
         {"move": 3, "add": 2, "swap": 1, "add_anywhere": 2, "gravity": 4, "wind": 2}, _SHAPES),
    Task("plant_and_wait", "hybrid",
         {"add": 2, "add_anywhere": 2, "move": 2, "swap": 1, "wait": 4, "wind": 2},
         _with_shapes(ice=1, fire=2, **_PLANTS)),
    Task("paint_and_mix", "hybrid",
         {"paint": 3, "swap": 2, "add_anywhere": 2, "move": 1, "mix": 4, "wind": 2}, _SHAPES),
    Task("rearrange_and_blow", "hybrid",
         {"swap": 2, "move_beside": 3, "add_anywhere": 2, "remove": 1, "wind": 5, "gravity": 1}, _SHAPES),
)  # fmt: skip
TASK_CLASSES: Final[tuple[TaskClass, ...]] = ("static_spatial", "temporal_causal", "hybrid")
