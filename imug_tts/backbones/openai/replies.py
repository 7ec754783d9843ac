"""Parses responses of OpenAI's Responses API."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

from imug_tts.backbones.prices import Usage
from imug_tts.contracts import Finish
from imug_tts.dialogue import Image, Part, Text

__all__ = ["Read", "image_usage", "read", "usage"]


class Read(NamedTuple):
    """An answer, or the reason why there is none."""

    output: Part | None
    finish: Finish
    reason: str


def read(response: Any, wants_image: bool) -> Read:
    """The answer in a response. A refusal, a stop by a filter and a missing image have no output.

    Raises:
        ValueError: the response reports a failure, or its image is not base64.
    """
    if response.error is not None:
        raise ValueError(f"{response.error.code}: {response.error.message}")
    stopped = response.incomplete_details.reason if response.incomplete_details else None
    refusal = _refusal(response) or ("content_filter" if stopped == "content_filter" else "")
    if refusal:
        return Read(None, "refused", refusal)
    if wants_image:
        image = _image(response)
        said = response.output_text or "no image and no reason"
        return Read(image, "stop", "" if image else said)
    return Read(Text(response.output_text), "length" if stopped == "max_output_tokens" else "stop", "")


def usage(response: Any) -> Usage:
    """Tokens of the writing model."""
    if response.usage is None:
        return Usage()
    cached = response.usage.input_tokens_details.cached_tokens
    return Usage(
        input=response.usage.input_tokens - cached, cached_input=cached, output=response.usage.output_tokens
    )


def image_usage(response: Any) -> Usage:
    """Tokens and images of the image model.

    Tokens whose kind the response does not state count as uncached text input and as image output.
    """
    images = sum(bool(call.result) for call in _drawings(response))
    used = getattr(response.tool_usage, "image_gen", None)
    if used is None:
        return Usage(image=images)
    shown = _count(used, "input_tokens_details", "image_tokens")
    cached = _count(used, "cached_tokens_details", "cached_text_tokens")
    cached_shown = _count(used, "cached_tokens_details", "cached_image_tokens")
    written = _count(used, "output_tokens_details", "text_tokens")
    return Usage(
        input=used.input_tokens - shown - cached,
        cached_input=cached,
        image_input=shown - cached_shown,
        cached_image_input=cached_shown,
        output=written,
        image_output=used.output_tokens - written,
        image=images,
    )


def _count(used: Any, details: str, name: str) -> int:
    """A token count among details that a response may omit; 0 if it does."""
    return getattr(getattr(used, details, None), name, None) or 0


def _refusal(response: Any) -> str:
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    said = [part.refusal for part in parts if part.type == "refusal"]
    failed = [
        call.error.message if call.error else "the image failed"
        for call in _drawings(response)
        if call.status == "failed"
    ]
    return next(iter([*said, *failed]), "")


def _image(response: Any) -> Image | None:
    encoded = [call.result for call in _drawings(response) if call.result]
    try:
        return Image.from_bytes(base64.b64decode(encoded[-1], validate=True)) if encoded else None
    except binascii.Error as error:
        raise ValueError(f"the image is not base64: {error}") from error


def _drawings(response: Any) -> list[Any]:
    return [item for item in response.output if item.type == "image_generation_call"]
