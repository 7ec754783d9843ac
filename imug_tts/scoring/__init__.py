"""From responses to scores in [0, 1]."""

from __future__ import annotations

from typing import Literal

from imug_tts.knobs import component, knob
from imug_tts.scoring.mcq import Rule

__all__ = ["GridRule", "Scoring"]

GridRule = Literal["official", "robust"]


@component
class Scoring:
    """The rules by which a run is scored where no judge is needed; "official" is the published code's."""

    mcq: Rule = knob("The rule of multiple-choice answers; see imug_tts.scoring.mcq.", default="official")
    grid: GridRule = knob(
        "The rule of drawings of coloured cubes; see imug_tts.scoring.grid.", default="official"
    )
