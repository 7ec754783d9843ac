"""What a judge model said, read strictly: a reply that is not clear is None, and never a guess.

Nothing here asks a model. A wrong reading is a wrong number without a word, and an unread reply is only
asked again; so every rule prefers to read nothing. Reasoning (see `imug_tts.final_text`) and markup are left
out before a reply is read.
"""

from imug_tts.judges._answers import read_answers
from imug_tts.judges._checklist import read_checklist
from imug_tts.judges._preference import Place, read_preference
from imug_tts.judges._yes_no import YesNo, read_yes_no

__all__ = ["Place", "YesNo", "read_answers", "read_checklist", "read_preference", "read_yes_no"]
