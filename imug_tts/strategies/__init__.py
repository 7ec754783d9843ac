"""Test-time scaling strategies. All but Direct wrap an inner strategy, so that strategies can be nested."""

from imug_tts.strategies.best_of_n import BestOfN
from imug_tts.strategies.chain_of_thought import ChainOfThought
from imug_tts.strategies.direct import Direct
from imug_tts.strategies.majority_vote import MajorityVote
from imug_tts.strategies.self_verification import SelfVerification

__all__ = [
    "BestOfN",
    "ChainOfThought",
    "Direct",
    "MajorityVote",
    "SelfVerification",
]
