"""Parses responses of generate_content."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from imug_tts.backbones.prices import Usage
from imug_tts.contracts import Finish
from imug_tts.dialogue import Image, Modality, Part, Text

__all__ = ["Read", "read", "response_id", "usage"]

_WHOLE: Final = ("STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED")
"""Finish reasons of answers; all others are refusals, e.g. SAFETY or IMAGE_SAFETY."""


class Read(NamedTuple):
    """An answer, or the reason why there is none; and the model's thought."""

    output: Part | None
    finish: Finish
    reason: str
    thought: str = ""


def read(response: Any, modality: Modality) -> Read:
    """The answer in a response. A blocked prompt, a stop by a filter and a missing image have no output."""
    if not response.candidates:
        feedback = response.prompt_feedback
        blocked = _name(feedback.block_reason) if feedback else ""
        return Read(None, "refused", blocked or "no candidate and no reason")
    first = response.candidates[0]
    ended = _name(first.finish_reason) or "STOP"
    if ended not in _WHOLE:
        return Read(None, "refused", first.finish_message or ended)
    parts = (first.content.parts if first.content else None) or []
    thought = _texts([part for part in parts if part.thought])
    said = [part for part in parts if not part.thought]
    finish: Finish = "length" if ended == "MAX_TOKENS" else "stop"
    if modality == "text":
        return Read(Text(_texts(said)), finish, "", thought)
    drawn = [part.inline_data.data for part in said if part.inline_data and part.inline_data.data]
    if not drawn:
        return Read(None, "refused", _texts(said) or "no image and no reason", thought)
    return Read(Image.from_bytes(drawn[-1]), finish, "", thought)


def response_id(body: bytes) -> str:
    """The provider's id of the response; empty if it has none."""
    return str(json.loads(body).get("responseId", ""))


def usage(response: Any, output: Part | None) -> Usage:
    """Tokens and images of a response; thoughts are charged as other output."""
    counts = response.usage_metadata
    images = int(isinstance(output, Image))
    if counts is None:
        return Usage(image=images)
    cached = counts.cached_content_token_count or 0
    written = (counts.candidates_token_count or 0) + (counts.thoughts_token_count or 0)
    of_images = sum(
        each.token_count or 0
        for each in counts.candidates_tokens_details or []
        if _name(each.modality) == "IMAGE"
    )
    return Usage(
        input=max(0, (counts.prompt_token_count or 0) - cached),
        cached_input=cached,
        output=max(0, written - of_images),
        image_output=of_images,
        image=images,
    )


def _texts(parts: Sequence[Any]) -> str:
    return "".join(part.text for part in parts if part.text)


def _name(value: Any) -> str:
    """The name of an enumerated value; a provider may send new values as text."""
    return "" if value is None else str(getattr(value, "name", value))
