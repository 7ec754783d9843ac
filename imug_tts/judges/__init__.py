"""Judges: selectors and verifiers inside strategies."""

from imug_tts.judges.backbone import BackboneJudge
from imug_tts.judges.exact import ExactJudge

__all__ = ["BackboneJudge", "ExactJudge"]
