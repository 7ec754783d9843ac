"""Parses replies of vLLM-Omni: images, thoughts, P(yes), token counts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from imug_tts.backbones.chat_replies import BadReply
from imug_tts.dialogue import Image
from imug_tts.infer_protocol import ProtocolError, described, read_image, shortened

__all__ = ["drawn_by_chat", "drawn_by_images_api", "p_yes_of", "prompt_tokens_of", "thought_of"]

_WORDS: Final = ("yes", "no")


def drawn_by_chat(body: bytes) -> Image:
    """The image of a chat completion.

    Raises:
        BadReply: there is no image, or a damaged one; a status of 200 does not exclude that.
    """
    urls = [
        part["image_url"]["url"]
        for part in _parts(_object(body))
        if isinstance(part, dict) and part.get("type") == "image_url"
    ]
    return _image(urls[0] if urls else None, body)


def drawn_by_images_api(body: bytes) -> Image:
    """The image of a reply of /v1/images/*. Raises as `drawn_by_chat`."""
    data = _object(body).get("data")
    first = data[0] if isinstance(data, list) and data else {}
    return _image(first.get("b64_json") if isinstance(first, dict) else None, body)


def thought_of(body: bytes) -> str | None:
    """The text that the model wrote before it drew; None if the reply has none."""
    reply = _object(body)
    metrics = reply.get("metrics")
    named = [metrics.get("think_text") if isinstance(metrics, dict) else None, reply.get("cot_output")]
    written = [
        part["text"] for part in _parts(reply) if isinstance(part, dict) and part.get("type") == "text"
    ]
    texts = [text for text in (*named, *written) if isinstance(text, str) and text]
    return texts[0] if texts else None


def p_yes_of(body: bytes) -> float | None:
    """P(yes) / (P(yes) + P(no)) over the listed first tokens; None if neither is listed."""
    try:
        top = _object(body)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        seen = [(str(each["token"]).strip().lower(), math.exp(each["logprob"])) for each in top]
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    yes, no = (sum(p for token, p in seen if token == word) for word in _WORDS)
    return yes / (yes + no) if yes + no > 0 else None


def prompt_tokens_of(body: bytes) -> int:
    """Number of prompt tokens; 0 if the server does not report it, as for images of several stages."""
    usage = _object(body).get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else 0
    return count if isinstance(count, int) and count > 0 else 0


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        raise BadReply(f"the reply is not a JSON object: {described(body)}")
    return reply


def _parts(reply: Mapping[str, Any]) -> Iterator[Any]:
    """The parts of all choices; a plain text counts as one part."""
    choices = reply.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        message = choice.get("message") if isinstance(choice, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            yield {"type": "text", "text": content}
        elif isinstance(content, list):
            yield from content


def _image(encoded: object, body: bytes) -> Image:
    if not isinstance(encoded, str) or not encoded:
        raise BadReply(f"the reply has no image: {shortened(thought_of(body) or described(body))}")
    try:
        return read_image(encoded)
    except ProtocolError as error:
        raise BadReply(f"the reply: {error}") from None
