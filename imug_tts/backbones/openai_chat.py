"""A model behind an OpenAI-compatible chat endpoint (vLLM, SGLang, Gemini's, OpenAI's) that writes text.

As a backbone it is journaled, bounded and counted by the engine like any other, so that a paid reply
of a judge is never lost or bought twice.
"""

from __future__ import annotations

import base64
import json
import os
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from imug_tts.backbones.retry import Backoff, Transient, is_retryable_status, retry_after_s, with_retries
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    Capabilities,
    ConfigurationError,
    Cost,
    Finish,
    Request,
    TimedOut,
)
from imug_tts.dialogue import Image, Message, Part, Text
from imug_tts.infer_protocol import shortened

if TYPE_CHECKING:
    from openai import APIStatusError

__all__ = ["Endpoint", "OpenAIChat"]

_VERSION: Final = "1"
_PROBE_S: Final = 10.0
_SIGNATURES: Final = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_REFUSALS: Final = frozenset(["content_filter", "content_policy_violation", "moderation_blocked"])
"""Codes by which endpoints say, with an HTTP error, that they will not answer."""
_JSON: Final = {"Content-Type": "application/json"}
_SHOWN_BELOW: Final = "(an image; it is shown in the next message)"
_ASSISTANTS: Final = "The assistant's image in the message before:"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a model is served, and how it is called.

    The key is read from the environment variable `api_key_env` and kept nowhere; a local server
    needs none. `base_url` is not a part of a call's identity, `model` is: two endpoints that serve
    different weights must serve them under different names.
    """

    base_url: str = "http://127.0.0.1:8000/v1"
    model: str = "Qwen/Qwen2.5-VL-7B-Instruct"
    concurrency: int = 8
    """Calls in flight."""
    timeout_s: float = 120.0
    max_attempts: int = 5
    send_seed: bool = True
    """False for endpoints that refuse a seed."""
    api_key_env: str = "OPENAI_API_KEY"

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"base_url is {self.base_url!r}; it must begin with http:// or https://")
        if not self.model:
            raise ConfigurationError("model is empty; set it to the name under which the endpoint serves it")
        for knob in ("concurrency", "max_attempts"):
            if getattr(self, knob) < 1:
                raise ConfigurationError(f"{knob} is {getattr(self, knob)}; it must be 1 or more")
        if not self.timeout_s > 0:
            raise ConfigurationError(f"timeout_s is {self.timeout_s}; it must be above 0")

    @property
    def api_key(self) -> str:
        """The key; empty for servers that need none."""
        key = os.environ.get(self.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError(f"${self.api_key_env} holds characters that no key has; export it again")
        return key


@dataclass(frozen=True, kw_only=True)
class OpenAIChat(Endpoint):
    """A model that reads text and images and writes text, called through the official client."""

    _opened: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    _opening: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    @property
    def identity(self) -> str:
        return f"openai_chat:{_VERSION}:{self.model}{'' if self.send_seed else ':unseeded'}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text"}),
            reads_images=True,
            draws_from_images=False,
            seeds="best_effort" if self.send_seed else "none",
            logits=False,
            max_batch=1,
            concurrent_batches=self.concurrency,
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """One call per seed, one after the other. Any number of threads may call at once.

        Failures that may pass (no connection, a timeout, HTTP 408, 409, 425, 429 and 5xx, a body that is
        no completion) are attempted again, and `Cost.calls` counts the attempts; a refusal is a candidate.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: it failed, with what the endpoint said.
        """
        return [[self._candidate(request, seed) for seed in request.seeds] for request in requests]

    def unreachable(self) -> dict[str, str]:
        """The endpoint, when it does not list its models, or not this one, and why."""
        import openai

        try:
            models = [model.id for model in self._client().with_options(timeout=_PROBE_S).models.list()]
        except openai.NotFoundError:
            return {}  # it answers, and has no list
        except openai.OpenAIError as error:
            return {self.base_url: self._without_key(str(error))}
        if self.model in models or f"models/{self.model}" in models:  # Gemini's form
            return {}
        return {self.base_url: f"it serves {', '.join(models) or 'no model'}, and not {self.model}"}

    def _candidate(self, request: Request, seed: int) -> Candidate:
        if request.modality != "text":
            raise BackboneError(f"{self.model} behind a chat endpoint writes text only, and draws no image")
        started = time.perf_counter()
        attempt = partial(self._attempt, json.dumps(self._body(request, seed)).encode())
        answered = with_retries(attempt, Backoff(max_attempts=self.max_attempts))
        seconds = time.perf_counter() - started
        cost = replace(answered.value.cost, calls=answered.attempts, seconds=seconds)
        return replace(answered.value, cost=cost)

    def _body(self, request: Request, seed: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(_messages(request.history)),
            "temperature": request.sampling.temperature,
            "max_completion_tokens": request.sampling.max_tokens,
        }
        # Some servers keep seeds in 32 bits.
        return {**body, "seed": seed % 2**31} if self.send_seed else body

    def _attempt(self, body: bytes) -> Candidate:
        """One call.

        The errors of the client are not chained: they hold the request with its headers.
        """
        client, (openai, httpx) = self._client(), _libraries()
        try:
            # Typed parameters and results would triple what a call costs in processor time.
            response = client.post(
                "/chat/completions", content=body, cast_to=httpx.Response, options={"headers": _JSON}
            )
        except openai.APITimeoutError:
            raise Transient(TimedOut(f"{self.base_url} took longer than {self.timeout_s:g} s")) from None
        except openai.APIConnectionError as error:
            raise Transient(self._failure(f"no connection: {error.__cause__ or error}")) from None
        except openai.APIStatusError as error:
            if error.code in _REFUSALS:
                return Candidate(output=None, finish="refused")
            raise self._status_failure(error) from None
        try:
            return _read(response.json())
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Transient(self._failure(f"the reply is no chat completion: {response.text}")) from None

    def _status_failure(self, error: APIStatusError) -> BackboneError | Transient:
        status = error.status_code
        advice = f" (the key is read from ${self.api_key_env})" if status in (401, 403) else ""
        failure = self._failure(f"HTTP status {status}{advice}: {error.message}")
        if not is_retryable_status(status):
            return failure
        return Transient(failure, retry_after_s=retry_after_s(error.response.headers))

    def _failure(self, what: str) -> BackboneError:
        """A failure without the key, whatever an endpoint echoes."""
        return BackboneError(f"{self.base_url}: {self._without_key(what)}")

    def _without_key(self, said: str) -> str:
        return shortened(said.replace(self.api_key, "[key]") if self.api_key else said)

    def _client(self) -> Any:
        """One `openai.OpenAI` for all threads. Its own retries are off: ours are counted."""
        if self._opened:
            return self._opened[0]
        from openai import OpenAI

        with self._opening:
            if not self._opened:
                options: dict[str, Any] = {"timeout": self.timeout_s, "max_retries": 0}
                client = OpenAI(base_url=self.base_url, api_key=self.api_key or "none", **options)
                weakref.finalize(self, client.close)
                self._opened.append(client)
            return self._opened[0]


@cache
def _libraries() -> tuple[Any, Any]:
    """The client and what it stands on. An import statement in every call would have threads wait in line."""
    import httpx2
    import openai

    return openai, httpx2


def _messages(history: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """The history in the form of the endpoint, where only users may show images.

    An image of the assistant is moved into the user's next message, and labelled.
    """
    moved: list[dict[str, Any]] = []
    for message in history:
        texts = [part.text for part in message.parts if isinstance(part, Text)]
        if message.role == "user":
            yield {"role": "user", "content": [*moved, *map(_content, message.parts)]}
            moved = []
            continue
        images = [_content(part) for part in message.parts if isinstance(part, Image)]
        if images:
            texts.append(_SHOWN_BELOW)
            moved += [_content(Text(_ASSISTANTS)), *images]
        yield {"role": message.role, "content": "\n".join(texts)}


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    encoded = part.read()
    mime = next((mime for start, mime in _SIGNATURES.items() if encoded.startswith(start)), None)
    if mime is None:
        raise BackboneError(f"image {part.sha256[:12]} is neither PNG nor JPEG")
    url = f"data:{mime};base64,{base64.b64encode(encoded).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _read(completion: Any) -> Candidate:
    """What a completion says. Raises the errors of looking into something else."""
    choice = completion["choices"][0]
    message = choice["message"]
    content = message.get("content") or ""
    if not isinstance(content, str):
        raise TypeError("content must be text")
    usage = completion.get("usage") or {}
    cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
    cost = Cost(
        prompt_tokens=int(usage.get("prompt_tokens") or 0) - cached,
        cached_tokens=cached,
        new_tokens=int(usage.get("completion_tokens") or 0),
    )
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return Candidate(output=None, finish="refused", cost=cost)
    finish: Finish = "length" if choice.get("finish_reason") == "length" else "stop"
    return Candidate(output=Text(content), finish=finish, cost=cost)
