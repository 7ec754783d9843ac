"""A model behind an OpenAI-compatible chat endpoint (vLLM, SGLang, Gemini's, OpenAI's) that writes text.

As a backbone it is journaled, bounded and counted by the engine like any other, so that a paid reply
of a judge is never lost or bought twice.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Final

from imug_tts.backbones.http import HttpClient, HttpFailure, Late, Response
from imug_tts.backbones.retry import Backoff, Transient, is_retryable_status, retry_after_s, with_retries
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    Capabilities,
    ConfigurationError,
    Cost,
    Finish,
    Remote,
    Request,
    TimedOut,
)
from imug_tts.dialogue import Image, Message, Part, Text
from imug_tts.infer_protocol import shortened
from imug_tts.json_images import json_pieces, reading
from imug_tts.knobs import component, knob

__all__ = ["Endpoint", "OpenAIChat"]

_VERSION: Final = "1"
_PROBE_S: Final = 10.0
_SIGNATURES: Final = {b"\x89PNG": b"image/png", b"\xff\xd8\xff": b"image/jpeg"}
_REFUSALS: Final = frozenset(["content_filter", "content_policy_violation", "moderation_blocked"])
"""Codes by which endpoints say, with an HTTP error, that they will not answer."""
_SHOWN_BELOW: Final = "(an image; it is shown in the next message)"
_ASSISTANTS: Final = "The assistant's image in the message before:"


@component
class Endpoint:
    """Where a model is served, and how it is called.

    The key is read from the environment variable `api_key_env` and kept nowhere; a local server
    needs none. `base_url` is not a part of a call's identity, `model` is: two endpoints that serve
    different weights must serve them under different names.
    """

    base_url: str = knob(
        "Where the endpoint is, e.g. http://127.0.0.1:8000/v1 for vLLM or https://api.openai.com/v1.",
        default="http://127.0.0.1:8000/v1",
        runtime=True,
    )
    model: str = knob(
        "The name under which the endpoint serves the model.",
        default="Qwen/Qwen2.5-VL-7B-Instruct",
        min_length=1,
        named=True,
    )
    concurrency: int = knob("Calls in flight.", default=8, ge=1, runtime=True)
    timeout_s: float = knob("Seconds that one attempt may take.", default=120.0, gt=0, runtime=True)
    max_attempts: int = knob("Attempts of one call.", default=5, ge=1, runtime=True)
    send_seed: bool = knob("False for endpoints that refuse a seed.", default=True, named=True)
    api_key_env: str = knob(
        "The environment variable that holds the key.", default="OPENAI_API_KEY", runtime=True
    )
    dollars_per_call: float = knob(
        "What an answered call costs on average, for dry runs and summaries.", default=0.0, ge=0, runtime=True
    )

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"base_url is {self.base_url!r}; it must begin with http:// or https://")

    @property
    def api_key(self) -> str:
        """The key; empty for servers that need none."""
        key = os.environ.get(self.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError(f"${self.api_key_env} holds characters that no key has; export it again")
        return key


@component
class OpenAIChat(Endpoint, Remote):
    """A model that reads text and images and writes text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._client, self._lanes  # made before any thread asks

    @cached_property
    def _client(self) -> HttpClient:
        return HttpClient(timeout_s=self.timeout_s, proxies=True)

    @cached_property
    def _lanes(self) -> ThreadPoolExecutor:
        """As many threads as calls may be in flight: a free one sends the next prepared call."""
        return ThreadPoolExecutor(self.concurrency)

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
            # As many again are prepared, or read, while the others are in flight.
            concurrent_batches=2 * self.concurrency,
        )

    @contextmanager
    def answered(self, request: Request) -> Iterator[Candidate]:
        """One call. The next one may be in flight before the block ends; bounded by `concurrent_batches`.

        Failures that may pass (no connection, a timeout, HTTP 408, 409, 425, 429 and 5xx, a body that is
        no completion) are attempted again, and `Cost.calls` counts the attempts; a refusal is a candidate.
        `Cost.seconds` is the time of the last attempt.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: it failed, with what the endpoint said.
        """
        if request.modality != "text":
            raise BackboneError(f"{self.model} behind a chat endpoint writes text only, and draws no image")
        attempt = partial(self._attempt, self._body(request))
        candidate, attempts = with_retries(attempt, Backoff(max_attempts=self.max_attempts))
        cost = replace(candidate.cost, calls=attempts, dollars=self.dollars_per_call)
        yield replace(candidate, cost=cost)

    def unreachable(self) -> dict[str, str]:
        """The endpoint, when it does not list its models, or not this one, and why."""
        try:
            response = self._client.send(
                "GET", f"{self._url}/models", headers=self._headers, timeout_s=_PROBE_S
            )
        except HttpFailure as error:
            return {self.base_url: str(error)}
        if response.status == 404:
            return {}  # it answers, and has no list
        if response.status != 200:
            return {self.base_url: str(self._refused(response))}
        try:
            models = [str(model["id"]) for model in json.loads(response.body)["data"]]
        except (ValueError, LookupError, TypeError):
            return {self.base_url: self._without_key(f"GET /models is no list of models: {response.text}")}
        if self.model in models or f"models/{self.model}" in models:  # Gemini's form
            return {}
        return {self.base_url: f"it serves {', '.join(models) or 'no model'}, and not {self.model}"}

    def _body(self, request: Request) -> bytes:
        [seed] = request.seeds
        frame: dict[str, Any] = {
            "model": self.model,
            "messages": list(_messages(request.history)),
            "temperature": request.sampling.temperature,
            "max_completion_tokens": request.sampling.max_tokens,
        }
        # Some servers keep seeds in 32 bits.
        frame |= {"seed": seed % 2**31} if self.send_seed else {}
        pieces = json_pieces(frame, "url")
        return b"".join(_data_url(piece) if isinstance(piece, Image) else piece for piece in pieces)

    def _attempt(self, body: bytes) -> Candidate:
        """One call."""
        response, seconds = self._post(body)
        if response.status != 200:
            if _error_of(response).get("code") in _REFUSALS:
                return Candidate(output=None, finish="refused", cost=Cost(seconds=seconds))
            raise self._status_failure(response)
        try:
            return _read(json.loads(response.body), seconds)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise Transient(self._failure(f"the reply is no chat completion: {response.text}")) from None

    def _post(self, body: bytes) -> tuple[Response, float]:
        """The response to one call, and the seconds that it took, without its wait here."""
        try:
            return self._lanes.submit(self._send, body).result()
        except Late:
            raise Transient(TimedOut(f"{self.base_url} took longer than {self.timeout_s:g} s")) from None
        except HttpFailure as error:
            raise Transient(self._failure(str(error))) from None

    def _send(self, body: bytes) -> tuple[Response, float]:
        started = time.perf_counter()
        response = self._client.send(
            "POST", f"{self._url}/chat/completions", body=body, headers=self._headers
        )
        return response, time.perf_counter() - started

    def _status_failure(self, response: Response) -> BackboneError | Transient:
        failure = self._refused(response)
        if not is_retryable_status(response.status):
            return failure
        return Transient(failure, retry_after_s=retry_after_s(response.headers))

    def _refused(self, response: Response) -> BackboneError:
        advice = f" (the key is read from ${self.api_key_env})" if response.status in (401, 403) else ""
        said = _error_of(response).get("message") or response.text
        return self._failure(f"HTTP status {response.status}{advice}: {said}")

    def _failure(self, what: str) -> BackboneError:
        """A failure without the key, whatever an endpoint echoes."""
        return BackboneError(f"{self.base_url}: {self._without_key(what)}")

    def _without_key(self, said: str) -> str:
        return shortened(said.replace(self.api_key, "[key]") if self.api_key else said)

    @property
    def _url(self) -> str:
        return self.base_url.rstrip("/")

    @property
    def _headers(self) -> dict[str, str]:
        """The key is read at every call, and kept nowhere."""
        key = self.api_key
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})


def _error_of(response: Response) -> dict[str, Any]:
    """What a response says of its failure; empty when it says it in another form."""
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else {}


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
    return {"type": "image_url", "image_url": {"url": part}}


def _data_url(image: Image) -> bytes:
    with reading(image):
        encoded = image.read()
    mime = next((mime for start, mime in _SIGNATURES.items() if encoded.startswith(start)), None)
    if mime is None:
        raise BackboneError(f"image {image.sha256[:12]} is neither PNG nor JPEG")
    return b"data:%s;base64,%s" % (mime, base64.b64encode(encoded))


def _read(completion: Any, seconds: float) -> Candidate:
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
        seconds=seconds,
    )
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return Candidate(output=None, finish="refused", cost=cost)
    finish: Finish = "length" if choice.get("finish_reason") == "length" else "stop"
    return Candidate(output=Text(content), finish=finish, cost=cost)
