"""Computes the network evaluations of an image of BAGEL, guidance branches included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["bagel_nfe"]

_INTERVAL: Final = (0.4, 1.0)
_SHIFT: Final = 3.0
_TEXT_SCALE: Final = 4.0
_IMAGE_SCALE: Final = 1.5


def bagel_nfe(steps: int, extra: Mapping[str, Any]) -> int:
    """The network evaluations of an image with the given number of requested steps, of which one is not
    executed.

    Each step evaluates the full context. Inside the guidance interval it also evaluates the context without
    the last text, and the one without images, if their scales are above 1. Defaults are those of the engine.
    """
    low, high = extra.get("cfg_interval", _INTERVAL)
    shift = float(extra.get("timestep_shift", _SHIFT))
    scales = (extra.get("cfg_text_scale", _TEXT_SCALE), extra.get("cfg_img_scale", _IMAGE_SCALE))
    branches = sum(float(scale) > 1 for scale in scales)
    times = (1 - step / (steps - 1) for step in range(steps - 1)) if steps > 1 else iter(())
    shifted = (shift * t / (1 + (shift - 1) * t) for t in times)
    return sum(1 + (branches if low < t <= high else 0) for t in shifted)
