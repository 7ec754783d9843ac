"""The engine: dialogues in, records out; everything that was ever computed is kept."""

from imug_tts.engine.arm import Arm, History, check
from imug_tts.engine.conversation import Conversation
from imug_tts.engine.execute import Run, Summary, execute
from imug_tts.engine.journal import Journal, JournalWarning
from imug_tts.engine.rehearsal import Plan, rehearse
from imug_tts.engine.scope import Budget
from imug_tts.engine.transcript import Transcript
from imug_tts.files import StorageError

__all__ = [
    "Arm",
    "Budget",
    "Conversation",
    "History",
    "Journal",
    "JournalWarning",
    "Plan",
    "Run",
    "StorageError",
    "Summary",
    "Transcript",
    "check",
    "execute",
    "rehearse",
]
