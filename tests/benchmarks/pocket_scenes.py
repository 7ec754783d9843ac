"""Scenes of the pocket world for tests."""

from __future__ import annotations

from hypothesis import strategies as st

from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.world import CELL_OF, EMPTY, STATE_OF, Scene

__all__ = ["scene_of", "scenes"]

scenes = st.tuples(*[st.integers(0, len(world.STATES) - 1)] * world.NUM_CELLS)


def scene_of(**things: str) -> Scene:
    """A scene from cells by name: scene_of(b2="red star")."""
    cells = [EMPTY] * world.NUM_CELLS
    for cell, thing in things.items():
        cells[CELL_OF[cell]] = STATE_OF[thing]
    return tuple(cells)
