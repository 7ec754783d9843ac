"""One model call: request and identity, journal, broker, scope, budget and ledger."""

from imug_tts.calls.broker import Answer, Broker
from imug_tts.calls.brokers import Brokers, Desk
from imug_tts.calls.budget import Budget
from imug_tts.calls.call import Call
from imug_tts.calls.journal import Journal, JournalWarning
from imug_tts.calls.scope import OnCall, TurnScope

__all__ = [
    "Answer",
    "Broker",
    "Brokers",
    "Budget",
    "Call",
    "Desk",
    "Journal",
    "JournalWarning",
    "OnCall",
    "TurnScope",
]
