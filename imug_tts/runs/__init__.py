"""Many turns: arms in, records out; everything that was ever computed is kept."""

from imug_tts.calls import Budget, Journal, JournalWarning
from imug_tts.runs.arm import Arm, check
from imug_tts.runs.conversation import Conversation
from imug_tts.runs.dry_run import Plan, plan_arm
from imug_tts.runs.execute import execute
from imug_tts.runs.job import Run
from imug_tts.runs.transcript import Transcript

__all__ = [
    "Arm",
    "Budget",
    "Conversation",
    "Journal",
    "JournalWarning",
    "Plan",
    "Run",
    "Transcript",
    "check",
    "execute",
    "plan_arm",
]
