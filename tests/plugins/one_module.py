"""Packages with components of their own, as a user would install them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["install"]


def install(folder: Path, name: str, source: str, declared: Mapping[str, str]) -> None:
    """Put a package of one module into a folder that is to be on Python's path.

    Args:
        declared: the class of each component by group and name, e.g. {"backbones.painter": "Painter"}.
    """
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    entries = []
    for place, cls in declared.items():
        group, _, component = place.partition(".")
        entries.append(f"[imug_tts.{group}]\n{component} = {name}:{cls}\n")
    (about / "entry_points.txt").write_text("".join(entries))
