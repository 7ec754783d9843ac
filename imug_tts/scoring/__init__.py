"""Scores of responses, in [0, 1]."""

from __future__ import annotations

from typing import Literal

from imug_tts.knobs import component, knob
from imug_tts.scoring.mcq import Rule

__all__ = ["GridRule", "Scoring"]

GridRule = Literal["official", "robust"]


@component
class Scoring:
    """The scoring rules that need no model; "official" is the rule of the published code."""

    mcq: Rule = knob("Rule for multiple-choice answers; see imug_tts.scoring.mcq.", default="official")
    grid: GridRule = knob(
        "Rule for drawings of coloured cubes; see imug_tts.scoring.grid.", default="official"
    )
