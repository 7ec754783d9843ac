"""Sentences in addition to the exposure gap: the effect of history on text answers, and the fall of
scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from analysis.inference import Estimate
from analysis.phrases import detectable, points
from analysis.wear import Wear

__all__ = ["Remark", "on_answers", "on_wear"]

Remark = Literal["answers_gap", "answers_unclear", "wear_images", "wear_turns", "wear_unclear"]
_KINDS = {"static": "static questions", "dynamic": "dynamic ones", "free": "free text"}


def on_answers(gaps: Mapping[str, Estimate]) -> tuple[Remark, str]:
    """The sentence on text answers on gold versus own history. `gaps` is by kind of question; "text" is all
    of them.
    """
    whole = gaps["text"]
    if not whole.is_shown:
        text = f"no effect of history on answers to text questions is shown ({points(whole)}"
        return "answers_unclear", f"{text}{detectable(whole)})"
    way = "higher" if whole.value > 0 else "lower"
    parts = [
        f"{words} {points(gaps[kind], unit='')}"
        for kind, words in _KINDS.items()
        if kind in gaps and gaps[kind].is_defined
    ]
    known = f" ({', '.join(parts)})" if len(parts) > 1 else ""
    size = points(whole, absolute=True)
    return "answers_gap", f"answers to text questions score {size} {way} on gold history than on own{known}"


def on_wear(wear: Wear) -> tuple[Remark, str]:
    """The sentence on whether scores fall with the number of own images or of other turns."""
    image, other = points(wear.per_image), points(wear.per_other, unit="")
    text = f"within dialogues scores change by {image} with each earlier own image, and by {other} with each"
    text += " earlier turn of another kind"
    if not wear.difference.is_shown:
        return "wear_unclear", f"{text}; no difference between the two is shown"
    if wear.difference.value < 0:
        return "wear_images", f"{text}: own images lower later scores more"
    return "wear_turns", f"{text}: other turns lower later scores more"
