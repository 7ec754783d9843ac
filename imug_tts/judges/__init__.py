"""Judges: selectors and verifiers inside strategies."""

from imug_tts.judges.backbone import BackboneJudge
from imug_tts.judges.exact import ExactJudge
from imug_tts.judges.openai import OpenAIJudge
from imug_tts.judges.pairwise import PairwiseJudge

__all__ = ["BackboneJudge", "ExactJudge", "OpenAIJudge", "PairwiseJudge"]
