"""Strict parsers of judge models' replies: an unclear reply gives None, never a guess.

No model is called here. A wrongly parsed reply silently gives a wrong number, while an unread reply is only
asked again. So every rule prefers None. Reasoning (see `imug_tts.final_text`) and markup are removed before a
reply is parsed.
"""

from imug_tts.judges._answers import read_answers
from imug_tts.judges._checklist import read_checklist
from imug_tts.judges._preference import Place, read_preference
from imug_tts.judges._yes_no import YesNo, read_yes_no

__all__ = ["Place", "YesNo", "read_answers", "read_checklist", "read_preference", "read_yes_no"]
