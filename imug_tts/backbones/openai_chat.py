"""A model behind an OpenAI-compatible chat endpoint (vLLM, SGLang, Gemini's, OpenAI's) that writes text.

As a backbone it is journaled, bounded and counted by the engine like any other, so that a paid reply
of a judge is never lost or bought twice.
"""

from __future__ import annotations

import base64
import os
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal

from imug_tts.backbones.chat_replies import BadReply, Reply, error_of, read_completion, read_models
from imug_tts.backbones.http import HttpClient, HttpFailure, Late, Response, TooLarge, Unreached, check_url
from imug_tts.backbones.retry import Retries, Transient, is_retryable_status, retry_after_s
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    Capabilities,
    ConfigurationError,
    Cost,
    Remote,
    Request,
    Sampling,
    TimedOut,
)
from imug_tts.dialogue import Image, Message, Part, Text
from imug_tts.images import kind_of
from imug_tts.infer_protocol import shortened
from imug_tts.json_images import json_pieces, reading

__all__ = ["Endpoint", "OpenAIChat"]

_VERSION: Final = "1"
_PROBE_S: Final = 10.0
_MIME: Final = {"PNG": b"image/png", "JPEG": b"image/jpeg"}
_REFUSALS: Final = frozenset(["content_filter", "content_policy_violation", "moderation_blocked"])
"""Codes by which endpoints say, with an HTTP error, that they will not answer."""
_SHOWN_BELOW: Final = "(an image; it is shown in the next message)"
_TINY: Final = Request(
    history=(Message("user", (Text("Say yes."),)),),
    modality="text",
    seeds=(0,),
    sampling=Sampling(temperature=0.0, max_tokens=1),
)
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
    """Of one call; those that find the endpoint away are not counted."""
    patience_s: float = 60.0
    """How long the endpoint may be away before calls fail: no connection, a broken one, a status of 5xx."""
    send_seed: bool = True
    """False for endpoints that refuse a seed."""
    send_temperature: bool = True
    """False for endpoints that refuse a temperature."""
    max_tokens_key: Literal["max_completion_tokens", "max_tokens", "none"] = "max_completion_tokens"
    """How the endpoint calls the limit of tokens; "none" where it refuses one."""
    api_key_env: str = "OPENAI_API_KEY"
    dollars_per_call: float = 0.0
    """What an answered call costs on average."""

    def __post_init__(self) -> None:
        check_url(self.base_url, "base_url")
        if not self.model:
            raise ConfigurationError("model is empty; set it to the name under which the endpoint serves it")
        for knob in ("concurrency", "max_attempts"):
            if getattr(self, knob) < 1:
                raise ConfigurationError(f"{knob} is {getattr(self, knob)}; it must be 1 or more")
        if not self.timeout_s > 0:
            raise ConfigurationError(f"timeout_s is {self.timeout_s}; it must be above 0")
        for knob in ("patience_s", "dollars_per_call"):
            if not getattr(self, knob) >= 0:
                raise ConfigurationError(f"{knob} is {getattr(self, knob)}; it must be 0 or more")

    @property
    def api_key(self) -> str:
        """The key; empty for servers that need none."""
        key = os.environ.get(self.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError(f"${self.api_key_env} holds characters that no key has; export it again")
        return key


@dataclass(frozen=True, kw_only=True)
class OpenAIChat(Endpoint, Remote):
    """A model that reads text and images and writes text."""

    _client: HttpClient = field(init=False, repr=False, compare=False)
    _lanes: ThreadPoolExecutor = field(init=False, repr=False, compare=False)
    """As many threads as calls may be in flight: one that is free sends the next call that is prepared."""
    _retries: Retries = field(init=False, repr=False, compare=False)
    _warned: threading.Event = field(init=False, repr=False, compare=False, default_factory=threading.Event)
    """Of a usage that cannot be right."""

    def __post_init__(self) -> None:
        super().__post_init__()
        client = HttpClient(timeout_s=self.timeout_s, proxies=True)
        retries = Retries(
            max_attempts=self.max_attempts, patience_s=self.patience_s, interrupted=client.interrupted
        )
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_lanes", ThreadPoolExecutor(self.concurrency))
        object.__setattr__(self, "_retries", retries)

    @property
    def identity(self) -> str:
        """The model, and how it is asked if not as usual."""
        unusual = {
            ":unseeded": not self.send_seed,
            ":own_temperature": not self.send_temperature,
            f":{self.max_tokens_key}": self.max_tokens_key != "max_completion_tokens",
        }
        return f"openai_chat:{_VERSION}:{self.model}{''.join(mark for mark, on in unusual.items() if on)}"

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

        Failures that may pass are attempted again: an endpoint that is away for `patience_s`, others (a
        timeout, HTTP 408, 409, 425, 429, a body that is no completion, a reply that broke off)
        `max_attempts` times. `Cost.calls` counts the attempts that were sent; a refusal is a candidate.
        `Cost.seconds` is the time of the last attempt.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: it failed, with what the endpoint said.
        """
        if request.modality != "text":
            raise BackboneError(f"{self.model} behind a chat endpoint writes text only, and draws no image")
        candidate, calls = self._retries(partial(self._attempt, self._body(request)))
        cost = replace(candidate.cost, calls=calls, dollars=self.dollars_per_call)
        yield replace(candidate, cost=cost)

    def interrupt(self) -> None:
        self._client.interrupt()

    def unreachable(self) -> dict[str, str]:
        """The endpoint and why, when it cannot be used.

        Where it lists no models, a call of one token decides.
        """
        try:
            response = self._client.send(
                "GET", f"{self._url}/models", headers=self._headers, timeout_s=_PROBE_S
            )
        except HttpFailure as error:
            return {self.base_url: str(error)}
        models = read_models(response)
        if models:
            listed = self.model in models or f"models/{self.model}" in models  # Gemini's form
            return {} if listed else {self.base_url: f"it serves {', '.join(models)}, and not {self.model}"}
        try:
            self._attempt(self._body(_TINY))
        except (BackboneError, Transient) as error:
            return {self.base_url: f"a call of one token failed: {error}"}
        return {}

    def _body(self, request: Request) -> bytes:
        [seed] = request.seeds
        frame: dict[str, Any] = {
            "model": self.model,
            "messages": list(_messages(request.history)),
        }
        if self.send_temperature:
            frame["temperature"] = request.sampling.temperature
        if self.max_tokens_key != "none":
            frame[self.max_tokens_key] = request.sampling.max_tokens
        if self.send_seed:
            frame["seed"] = seed % 2**31  # some servers keep seeds in 32 bits
        pieces = json_pieces(frame, "url")
        return b"".join(_data_url(piece) if isinstance(piece, Image) else piece for piece in pieces)

    def _attempt(self, body: bytes) -> Candidate:
        """One call."""
        response, seconds = self._post(body)
        if response.status != 200:
            error = error_of(response)
            if str(error.get("code")) in _REFUSALS:
                reason = self._without_key(str(error.get("message") or error))
                return Candidate(output=None, finish="refused", reason=reason, cost=Cost(seconds=seconds))
            raise self._status_failure(response)
        try:
            reply = read_completion(response.body)
        except BadReply as error:
            raise Transient(self._failure(str(error))) from None
        return self._candidate(reply, seconds)

    def _candidate(self, reply: Reply, seconds: float) -> Candidate:
        prompt, cached, new = reply.usage
        if cached > prompt and not self._warned.is_set():
            self._warned.set()
            warnings.warn(
                f"{self.base_url} counts {cached} cached tokens in a prompt of {prompt}; no more than the "
                "prompt is counted",
                stacklevel=2,
            )
        cached = min(cached, prompt)
        cost = Cost(prompt_tokens=prompt - cached, cached_tokens=cached, new_tokens=new, seconds=seconds)
        if reply.finish == "refused":
            return Candidate(output=None, finish="refused", reason=self._without_key(reply.reason), cost=cost)
        return Candidate(output=Text(reply.text), finish=reply.finish, cost=cost)

    def _post(self, body: bytes) -> tuple[Response, float]:
        """The response to one call, and the seconds that it took, without its wait here."""
        try:
            return self._lanes.submit(self._send, body).result()
        except Late:
            raise Transient(TimedOut(f"{self.base_url} took longer than {self.timeout_s:g} s")) from None
        except TooLarge as error:  # another attempt would fetch as much again
            raise self._failure(str(error)) from None
        except HttpFailure as error:
            sent = not isinstance(error, Unreached)
            raise Transient(self._failure(str(error)), away=True, sent=sent) from None

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
        away = response.status >= 500
        return Transient(failure, away=away, retry_after_s=retry_after_s(response.headers))

    def _refused(self, response: Response) -> BackboneError:
        message = error_of(response).get("message")
        said = f"HTTP status {response.status}: {message}" if message else response.problem
        if response.status in (401, 403):
            said += f" (the key is read from ${self.api_key_env})"
        if response.status == 404 and "/v1" not in self.base_url:
            said += " (most endpoints have a base_url that ends in /v1)"
        return self._failure(said)

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
    mime = _MIME.get(kind_of(encoded) or "")
    if mime is None:
        raise BackboneError(f"image {image.sha256[:12]} is neither PNG nor JPEG")
    return b"data:%s;base64,%s" % (mime, base64.b64encode(encoded))
