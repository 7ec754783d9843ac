"""A backbone for reward calls that asks a reward service over HTTP."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Final

from imug_tts.backbones.chat_messages import content_of, encoded
from imug_tts.backbones.endpoint_calls import EndpointCalls
from imug_tts.backbones.http import HttpFailure, Response
from imug_tts.backbones.retry import Transient
from imug_tts.contracts import BackboneError, Candidate, Capabilities, Cost, Remote, Request
from imug_tts.dialogue import Message, Text
from imug_tts.infer_protocol import described
from imug_tts.knobs import component
from imug_tts.reward_service import RewardService

__all__ = ["HttpReward"]

_VERSION: Final = "1"
_PROBE_S: Final = 10.0


class _Unscored(Exception):
    """The service answered but has no reward for this candidate. The message says why."""


@component
class HttpReward(RewardService, Remote):
    """A reward service that reads a dialogue and scores its last answer.

    The backbone sends a POST to `url` with the JSON

        {"model": MODEL, "messages": [{"role": "user", "content": [PART, ...]}, ...]}

    where the last message is the assistant's answer to score. A PART is {"type": "text", "text": TEXT}
    or {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}. The service returns

        {"rewards": {NAME: NUMBER, ...}, "errors": {NAME: REASON, ...}}

    A larger reward is better. The candidate is a refusal with the service's reason, never a reward of 0, if
    the reward is listed in the errors, is null or not finite, or if the service rejects the request with a
    status 4xx that a retry would not change.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._calls  # created here, before several threads use it

    @cached_property
    def _calls(self) -> EndpointCalls:
        return EndpointCalls(self, self.url)

    @property
    def identity(self) -> str:
        return f"http_reward:{_VERSION}:{self.model}{f':{self.reward}' if self.reward else ''}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset(),
            reads_images=True,
            draws_from_images=False,
            seeds="best_effort",
            logits=False,
            max_batch=1,
            # Twice the slots: some calls are prepared or parsed while others are in flight.
            concurrent_batches=2 * self.concurrency,
            rewards=True,
        )

    @contextmanager
    def answered(self, request: Request) -> Iterator[Candidate]:
        """The reward of one request. Transient failures are retried, as for chat endpoints.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: the last attempt failed; the message holds the service's reason.
        """
        if request.form != "reward":
            raise BackboneError(f"{self.model}: a reward service answers reward calls only")
        with self._calls.answered(partial(self._attempt, self._body(request.history))) as (candidate, calls):
            cost = replace(candidate.cost, calls=calls, dollars=self.dollars_per_call)
            yield replace(candidate, cost=cost)

    def interrupt(self) -> None:
        self._calls.interrupt()

    def resume(self) -> None:
        self._calls.resume()

    def unreachable(self) -> dict[str, str]:
        """The service and the reason if it does not answer. Any answer to GET below status 500 counts."""
        try:
            response = self._calls.get(self.url, _PROBE_S)
        except HttpFailure as error:
            return {self.url: str(error)}
        return {self.url: response.problem} if response.status >= 500 else {}

    def _body(self, history: Sequence[Message]) -> bytes:
        messages = [{"role": m.role, "content": [content_of(part) for part in m.parts]} for m in history]
        return encoded({"model": self.model, "messages": messages})

    def _attempt(self, body: bytes) -> Candidate:
        response, seconds = self._calls.post(self.url, body)
        cost = Cost(seconds=seconds)
        try:
            reward = self._read(response)
        except _Unscored as error:
            reason = self._calls.without_key(str(error))
            return Candidate(output=None, finish="refused", reason=reason, cost=cost)
        return Candidate(output=Text(f"{reward:g}"), reward=reward, cost=cost)

    def _read(self, response: Response) -> float:
        """The reward in a response. Raises _Unscored, Transient or BackboneError."""
        if response.status in (400, 413, 422):
            raise _Unscored(response.problem)
        if response.status != 200:
            raise self._calls.response_failure(response)
        try:
            reply = json.loads(response.body)
            rewards, errors = reply["rewards"], reply.get("errors") or {}
            if not isinstance(rewards, dict) or not isinstance(errors, dict):
                raise TypeError("rewards and errors must be mappings")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            said = f'the reply is not {{"rewards": {{NAME: NUMBER}}}}: {described(response.body)}'
            raise Transient(self._calls.failure(said)) from None
        return self._chosen(rewards, errors)

    def _chosen(self, rewards: Mapping[str, Any], errors: Mapping[str, Any]) -> float:
        """The reward named by the knob `reward`, or the only one. Raises _Unscored or BackboneError."""
        named = {*rewards, *errors}
        if self.reward is None and len(named) != 1:
            names = ", ".join(sorted(named)) or "none"
            raise self._calls.failure(f"it returned these rewards: {names}; choose one: reward=NAME")
        name = self.reward or named.pop()
        if name in errors:
            raise _Unscored(f"{name}: {errors[name]}")
        if name not in rewards:
            names = ", ".join(sorted(rewards)) or "none"
            raise self._calls.failure(f"it returned no reward {name!r}; it returned: {names}")
        value = rewards[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _Unscored(f"{name} is {value!r}, not a finite number")
        return float(value)
