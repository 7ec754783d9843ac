"""Names and knob descriptions that several strategies share."""

from __future__ import annotations

from imug_tts.contracts import Judge

__all__ = ["APPLIES_TO", "layer_name"]

APPLIES_TO = "Modalities of the turns on which the layer acts: image, text or both."


def layer_name(name: str, judge: Judge) -> str:
    """Return the name of a layer, with the prefix "oracle_" if its judge is the benchmark's scorer."""
    return f"oracle_{name}" if judge.oracle else name
