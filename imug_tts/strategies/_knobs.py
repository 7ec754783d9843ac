"""What several strategies share."""

from __future__ import annotations

from imug_tts.contracts import Judge

__all__ = ["APPLIES_TO", "layer_name"]

APPLIES_TO = "The turns on which the layer acts: image, text or both."


def layer_name(name: str, judge: Judge) -> str:
    """An arm whose judge is the scorer is named so everywhere."""
    return f"oracle_{name}" if judge.oracle else name
