"""From responses to scores in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from imug_tts.contracts import ConfigurationError
from imug_tts.scoring import mcq

__all__ = ["GridRule", "Scoring"]

GridRule = Literal["official", "robust"]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The rules by which a run is scored where no judge is needed; "official" is the published code's."""

    mcq: mcq.Rule = "official"
    """Multiple-choice answers; see `imug_tts.scoring.mcq`."""
    grid: GridRule = "official"
    """Drawings of coloured cubes; see `imug_tts.scoring.grid`."""

    def __post_init__(self) -> None:
        for knob, allowed in (("mcq", get_args(mcq.Rule)), ("grid", get_args(GridRule))):
            if getattr(self, knob) not in allowed:
                raise ConfigurationError(
                    f"scoring.{knob} is {getattr(self, knob)!r}; choose from {', '.join(allowed)}"
                )
