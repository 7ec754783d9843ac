"""Sentences of a reply, and what makes the verdict in a sentence doubtful."""

from __future__ import annotations

import re
from typing import Final

from imug_tts.judges._lines import lines

__all__ = ["FINAL", "LABEL", "is_doubtful", "sentences", "states"]

_SENTENCE_END: Final = re.compile(r"(?<=[.!?。！？])[\"'”’)]*\s+|(?<=[。！？])(?=\S)")

LABEL: Final = (
    r"(?:answer|verdict|conclusion|judg(?:e)?ment|decision|response|result|choice|preference|winner)"
)
"""What models call their verdict."""
FINAL: Final = re.compile(rf"\W*(?:(?:my|the)\s+)?final\s+{LABEL}\b", re.IGNORECASE)
"""How a sentence begins that sums up what was said on the way to it."""

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
    """The sentences of a text without its markup; the end of a line ends a sentence."""
    return [part for line in lines(text) for part in _SENTENCE_END.split(line.text) if part.strip()]


def states(sentence: str) -> bool:
    """Whether a sentence can hold a verdict: a question cannot."""
    return not sentence.rstrip("\"'”’)").endswith(("?", "？"))


def is_doubtful(before: str) -> bool:
    """Whether the words of a sentence before its verdict may turn the verdict, or make it conditional.

    A condition counts anywhere before it, a negation in the clause of the verdict.
    """
    before = _ASIDE.sub(" ", before)
    clause = _CLAUSE.split(before.rstrip(" ,;:"))[-1]
    return _CONDITION.search(before) is not None or _NEGATION.search(clause) is not None
