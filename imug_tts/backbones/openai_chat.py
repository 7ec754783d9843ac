"""A model that writes text behind an OpenAI-compatible chat endpoint (vLLM, SGLang, Gemini's, OpenAI's).

The engine journals, limits and counts its calls like those of any other backbone, so a paid reply of a judge
is never lost or paid twice.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Final

from imug_tts.backbones.chat_messages import encoded, messages
from imug_tts.backbones.chat_replies import BadReply, Reply, error_of, read_completion, read_models
from imug_tts.backbones.endpoint_calls import EndpointCalls
from imug_tts.backbones.http import HttpFailure
from imug_tts.backbones.retry import Transient
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    Capabilities,
    Cost,
    Remote,
    Request,
    Sampling,
)
from imug_tts.dialogue import Message, Text
from imug_tts.endpoint import Endpoint
from imug_tts.knobs import component

__all__ = ["OpenAIChat"]

_VERSION: Final = "1"
_PROBE_S: Final = 10.0
_REFUSALS: Final = frozenset(["content_filter", "content_policy_violation", "moderation_blocked"])
"""Error codes with which endpoints refuse to answer."""
_TINY: Final = Request(
    history=(Message("user", (Text("Say yes."),)),),
    modality="text",
    seeds=(0,),
    sampling=Sampling(temperature=0.0, max_tokens=1),
)


@component
class OpenAIChat(Endpoint, Remote):
    """A chat model that reads text and images and writes text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._calls  # created here, before several threads use it

    @cached_property
    def _calls(self) -> EndpointCalls:
        return EndpointCalls(self, self.base_url)

    @cached_property
    def _warned(self) -> threading.Event:
        """Set after the first warning about an impossible token count."""
        return threading.Event()

    @property
    def identity(self) -> str:
        """The model, and the call options that differ from their defaults."""
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
            # Twice the slots: some calls are prepared or parsed while others are in flight.
            concurrent_batches=2 * self.concurrency,
        )

    @contextmanager
    def answered(self, request: Request) -> Iterator[Candidate]:
        """The answer to one request. Its slot, one of `concurrency`, stays reserved until the block ends.

        Transient failures are retried: for up to `patience_s` if the endpoint is unavailable, otherwise (a
        timeout, HTTP 408, 409, 425, 429, a body that is not a completion, an incomplete reply) up to
        `max_attempts` attempts. `Cost.calls` counts the attempts that were sent, `Cost.seconds` is the
        duration of the last attempt, and a refusal is a candidate.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: the last attempt failed; the message holds the endpoint's reason.
        """
        if request.modality != "text":
            raise BackboneError(f"{self.model}: a chat endpoint writes text only and cannot draw images")
        with self._calls.answered(partial(self._attempt, self._body(request))) as (candidate, calls):
            cost = replace(candidate.cost, calls=calls, dollars=self.dollars_per_call)
            yield replace(candidate, cost=cost)

    def interrupt(self) -> None:
        self._calls.interrupt()

    def resume(self) -> None:
        self._calls.resume()

    def unreachable(self) -> dict[str, str]:
        """The endpoint and the reason if it cannot be used.

        If the endpoint lists no models, a call of one token is the test.
        """
        try:
            response = self._calls.get(f"{self._url}/models", _PROBE_S)
        except HttpFailure as error:
            return {self.base_url: str(error)}
        models = read_models(response)
        if models:
            listed = self.model in models or f"models/{self.model}" in models  # Gemini's form
            return {} if listed else {self.base_url: f"it serves {', '.join(models)}, not {self.model}"}
        try:
            self._attempt(self._body(_TINY))
        except (BackboneError, Transient) as error:
            return {self.base_url: f"a call of one token failed: {error}"}
        return {}

    def _body(self, request: Request) -> bytes:
        [seed] = request.seeds
        frame: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages(request.history)),
        }
        if self.send_temperature:
            frame["temperature"] = request.sampling.temperature
        if self.max_tokens_key != "none":
            frame[self.max_tokens_key] = request.sampling.max_tokens
        if self.send_seed:
            frame["seed"] = seed % 2**31  # some servers keep seeds in 32 bits
        return encoded(frame)

    def _attempt(self, body: bytes) -> Candidate:
        """The candidate of one call. Raises Transient or BackboneError."""
        response, seconds = self._calls.post(f"{self._url}/chat/completions", body)
        if response.status != 200:
            error = error_of(response)
            if str(error.get("code")) in _REFUSALS:
                reason = self._calls.without_key(str(error.get("message") or error))
                return Candidate(output=None, finish="refused", reason=reason, cost=Cost(seconds=seconds))
            raise self._calls.response_failure(response, self._address_advice)
        try:
            reply = read_completion(response.body)
        except BadReply as error:
            raise Transient(self._calls.failure(str(error))) from None
        return self._candidate(reply, seconds)

    def _candidate(self, reply: Reply, seconds: float) -> Candidate:
        prompt, cached, new = reply.usage
        if cached > prompt and not self._warned.is_set():
            self._warned.set()
            warnings.warn(
                f"{self.base_url} counts {cached} cached tokens in a prompt of {prompt} tokens; at most "
                "the prompt's tokens are counted",
                stacklevel=2,
            )
        cached = min(cached, prompt)
        cost = Cost(prompt_tokens=prompt - cached, cached_tokens=cached, new_tokens=new, seconds=seconds)
        if reply.finish == "refused":
            return Candidate(
                output=None, finish="refused", reason=self._calls.without_key(reply.reason), cost=cost
            )
        return Candidate(output=Text(reply.text), finish=reply.finish, cost=cost)

    @property
    def _address_advice(self) -> str:
        return "" if "/v1" in self.base_url else " (most endpoints have a base_url that ends in /v1)"

    @property
    def _url(self) -> str:
        return self.base_url.rstrip("/")
