"""Parses responses of a chat endpoint: completions, errors and lists of models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from imug_tts.backbones.http import Response
from imug_tts.contracts import Finish
from imug_tts.infer_protocol import described, shortened

__all__ = ["BadReply", "Reply", "error_of", "read_completion", "read_models"]

_FINISHES: Final[Mapping[str, Finish]] = {
    **dict.fromkeys(["stop", "eos", "eos_token", "stop_sequence", "end_turn"], "stop"),
    **dict.fromkeys(["length", "max_tokens", "model_length"], "length"),
    **dict.fromkeys(["content_filter", "safety", "refusal"], "refused"),
    "": "stop",
}
"""Finish reasons of endpoints -> `Finish`. The empty one is a stop: OpenAI and others have sent complete
replies with null.
"""


class BadReply(ValueError):
    """The reply is not a complete completion. The message says why."""


class Usage(NamedTuple):
    """Token counts as reported by the endpoint; all 0 if they cannot be read."""

    prompt: int = 0
    """Prompt tokens, cached ones included."""
    cached: int = 0
    new: int = 0


class Reply(NamedTuple):
    """The content of a completion. `reason` is the reason of a refusal."""

    text: str
    finish: Finish
    reason: str
    usage: Usage


def read_completion(body: bytes) -> Reply:
    """Parse a chat completion.

    Raises:
        BadReply: the body is not a chat completion, or an incomplete one.
    """
    try:
        return _read(json.loads(body))
    except BadReply:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise BadReply(f"the reply is no chat completion: {described(body)}") from None


def _read(completion: Any) -> Reply:
    choice = completion["choices"][0]
    message = choice["message"]
    text, refusal = _content_of(message.get("content")), message.get("refusal")
    ended = str(choice.get("finish_reason") or "")
    finish: Finish | None = "refused" if refusal else _FINISHES.get(ended.lower())
    if finish is None:
        raise BadReply(f"the reply ended with {ended!r}: {choice.get('error') or shortened(text)!r}")
    reason = refusal or text or choice.get("content_filter_results") or ended
    return Reply(text, finish, str(reason), _usage(completion.get("usage")))


def _content_of(content: Any) -> str:
    """The text of a message; some endpoints send it in parts, of which reasoning parts are dropped."""
    if isinstance(content, list):
        return "".join(map(_part_of, content))
    if not isinstance(content, str | None):
        raise TypeError("content must be text")
    return content or ""


def _part_of(part: Any) -> str:
    if isinstance(part, str):
        return part
    text: str = part["text"] if part.get("type", "text") in ("text", "output_text") else ""
    return text


def _usage(usage: Any) -> Usage:
    try:
        details = usage.get("prompt_tokens_details") or {}
        counts = [usage.get("prompt_tokens"), details.get("cached_tokens"), usage.get("completion_tokens")]
        tokens = [int(count or 0) for count in counts if count is None or isinstance(count, int | float)]
        return Usage(*tokens) if len(tokens) == 3 and min(tokens) >= 0 else Usage()
    except (AttributeError, ValueError, OverflowError):
        return Usage()


def read_models(response: Response) -> list[str]:
    """The model names of a model list; empty if the response is not such a list."""
    try:
        return [str(model["id"]) for model in json.loads(response.body)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []


def error_of(response: Response) -> dict[str, Any]:
    """The error object of a response; empty if the response has none."""
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else {}
