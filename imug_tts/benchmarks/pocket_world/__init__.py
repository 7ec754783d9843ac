"""The pocket world: a small, exactly simulated world for dialogues of text and images, offline and
procedural.
"""

from imug_tts.benchmarks.pocket_world.benchmark import PocketWorld

__all__ = ["PocketWorld"]
