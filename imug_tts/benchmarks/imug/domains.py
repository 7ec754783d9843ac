"""The 19 domains of IMUG-Bench and their classes (arXiv 2606.09169)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["CLASSES", "UNASSIGNED", "class_of"]

CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "static_spatial": (
        "Color_Reasoning",
        "Apparel",
        "Interior_Design",
        "Geometric_Coloring",
        "Mechanisms",
        "Object_Inference",
        "Counterintuitive_Reasoning",
    ),
    "temporal_causal": ("Botany", "Chemistry", "Physics", "Damage_Repair", "Weather"),
    "hybrid": (
        "Stack_Simulation",
        "DIY",
        "Cooking",
        "Mirror_Reasoning",
        "Storage",
        "Paper_Crafting",
        "Everyday_Tasks",
    ),
}
"""The domains of each class."""

UNASSIGNED: Final = "unassigned"
"""The class of unknown domains, as the official summary names it."""

_CLASS_OF: Final = {domain: name for name, domains in CLASSES.items() for domain in domains}


def class_of(domain: str) -> str:
    """The class of a domain; `UNASSIGNED` if the benchmark does not have the domain."""
    return _CLASS_OF.get(domain, UNASSIGNED)
