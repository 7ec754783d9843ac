"""Model calls: requests and their identities, the journal, brokers, scopes, budgets and ledgers."""

from imug_tts.calls.broker import Answer, Broker
from imug_tts.calls.brokers import BrokerClient, Brokers
from imug_tts.calls.budget import Allowance, Budget
from imug_tts.calls.call import Call
from imug_tts.calls.journal import Journal, JournalWarning
from imug_tts.calls.ledger import Ledger
from imug_tts.calls.scope import OnCall, TurnScope

__all__ = [
    "Allowance",
    "Answer",
    "Broker",
    "BrokerClient",
    "Brokers",
    "Budget",
    "Call",
    "Journal",
    "JournalWarning",
    "Ledger",
    "OnCall",
    "TurnScope",
]
