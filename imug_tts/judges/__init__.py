"""Judges: selectors and verifiers inside strategies."""

from imug_tts.judges.backbone import BackboneJudge
from imug_tts.judges.ensemble import EnsembleJudge
from imug_tts.judges.exact import ExactJudge
from imug_tts.judges.local_vlm import LocalVlmJudge
from imug_tts.judges.openai import OpenAIJudge
from imug_tts.judges.pairwise import PairwiseJudge
from imug_tts.judges.reward import ClipScoreJudge, HttpRewardJudge

__all__ = [
    "BackboneJudge",
    "ClipScoreJudge",
    "EnsembleJudge",
    "ExactJudge",
    "HttpRewardJudge",
    "LocalVlmJudge",
    "OpenAIJudge",
    "PairwiseJudge",
]
