"""Splits a reply into sentences, and finds words that make a verdict in a sentence doubtful."""

from __future__ import annotations

import re
from typing import Final

from imug_tts.judges._lines import lines

__all__ = ["FINAL", "LABEL", "is_doubtful", "sentences", "states"]

_SENTENCE_END: Final = re.compile(r"(?<=[.!?。！？])[\"'”’)]*\s+|(?<=[。！？])(?=\S)")

LABEL: Final = (
    r"(?:answer|verdict|conclusion|judg(?:e)?ment|decision|response|result|choice|preference|winner)"
)
"""Words that label a verdict."""
FINAL: Final = re.compile(rf"\W*(?:(?:my|the)\s+)?final\s+{LABEL}\b", re.IGNORECASE)
"""Start of a sentence that states the final verdict."""

_ASIDE: Final = re.compile(r",\s*(?:however|though|therefore|then|of course|to be honest)\s*,", re.IGNORECASE)
_CLAUSE: Final = re.compile(r"[,;:]|\b(?:so|therefore|thus|hence|but|because|while|whereas)\b", re.IGNORECASE)
_CONDITION: Final = re.compile(
    r"\b(?:if|unless|whether|assuming|suppose|supposing|provided|maybe|perhaps|possibly|probably|might"
    r"|depends|depending|doubt)\b",
    re.IGNORECASE,
)
_NEGATION: Final = re.compile(
    r"\b(?:not|never|cannot|neither|nor|either|could|may|hard|difficult|unclear|unsure|uncertain|almost"
    r"|nearly|partly|partially|hardly)\b|n['’]t\b",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text without markup; a sentence ends at the end of a line at the latest."""
    return [part for line in lines(text) for part in _SENTENCE_END.split(line.text) if part.strip()]


def states(sentence: str) -> bool:
    """Return whether a sentence can state a verdict: questions cannot."""
    return not sentence.rstrip("\"'”’)").endswith(("?", "？"))


def is_doubtful(before: str) -> bool:
    """Return whether the words before a verdict in its sentence negate it or make it conditional.

    A condition counts anywhere before the verdict, a negation only in the clause of the verdict.
    """
    before = _ASIDE.sub(" ", before)
    clause = _CLAUSE.split(before.rstrip(" ,;:"))[-1]
    return _CONDITION.search(before) is not None or _NEGATION.search(clause) is not None
