"""A tracker with a knob whose limit does not exist."""

from __future__ import annotations

from imug_tts.contracts import Tracker
from imug_tts.knobs import component, knob


@component
class UnknownLimit(Tracker):
    """Means `ge`, and says `gte`."""

    lines: int = knob("Lines.", default=1, gte=1)
