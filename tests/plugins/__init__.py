"""Packages with components of their own, as a user would install them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["declare", "install"]


def install(folder: Path, name: str, source: str, declared: Mapping[str, str]) -> None:
    """Put a package of one module into a folder that is to be on Python's path.

    Args:
        declared: the class of each component by group and name, e.g. {"backbones.painter": "Painter"}.
    """
    entries = []
    for place, cls in declared.items():
        group, _, component = place.partition(".")
        entries.append(f"[imug_tts.{group}]\n{component} = {name}:{cls}\n")
    declare(folder, name, "".join(entries))
    (folder / f"{name}.py").write_text(source)


def declare(folder: Path, name: str, entry_points: str) -> None:
    """Write what pip writes beside a package: its name, its version and its entry points."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)
