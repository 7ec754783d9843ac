"""HTTP calls of a backbone to one endpoint: concurrency slots, retries, and a key that appears in no
message.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from imug_tts.backbones.chat_replies import error_of
from imug_tts.backbones.http import HttpClient, HttpFailure, Late, Response, TooLarge, Unreached
from imug_tts.backbones.retry import Retried, Retries, Transient, is_retryable_status, retry_after_s
from imug_tts.contracts import BackboneError, TimedOut
from imug_tts.endpoint import PaidCalls
from imug_tts.infer_protocol import shortened

__all__ = ["Answered", "EndpointCalls"]

T = TypeVar("T")


class Answered(NamedTuple):
    """A response, and the seconds of the call without its wait for a slot."""

    response: Response
    seconds: float


class EndpointCalls:
    """The calls of one component to one endpoint. Thread-safe."""

    def __init__(self, knobs: PaidCalls, address: str) -> None:
        """`address` is the endpoint's name in messages."""
        self._knobs = knobs
        self._address = address
        self.client = HttpClient(timeout_s=knobs.timeout_s, proxies=True)
        self._slots = threading.Semaphore(knobs.concurrency)
        self._retries = Retries(
            max_attempts=knobs.max_attempts,
            patience_s=knobs.patience_s,
            interrupted=self.client.interrupted,
        )

    @contextmanager
    def answered(self, attempt: Callable[[], T]) -> Iterator[Retried[T]]:
        """The result of the first attempt that succeeds; its slot stays reserved until the block ends.

        No slot is reserved during the wait before a retry. See `Retries`.
        """
        with ExitStack() as reserved:
            yield self._retries(partial(self._in_a_slot, attempt, reserved))

    def post(self, url: str, body: bytes) -> Answered:
        """The response to one POST, whatever its status.

        Raises:
            Transient: no response came, and a retry may succeed.
            BackboneError: no response came, and a retry would fail too.
        """
        started = time.perf_counter()
        try:
            response = self.client.send("POST", url, body=body, headers=self._headers)
        except HttpFailure as error:
            raise self.broken(error) from None
        return Answered(response, time.perf_counter() - started)

    def get(self, url: str, timeout_s: float) -> Response:
        """The response to one GET without retries. Raises HttpFailure."""
        return self.client.send("GET", url, headers=self._headers, timeout_s=timeout_s)

    def interrupt(self) -> None:
        self.client.interrupt()

    def resume(self) -> None:
        self.client.resume()

    def broken(self, error: HttpFailure) -> BackboneError | Transient:
        """The error of a call without a complete response."""
        if isinstance(error, Late):
            return Transient(TimedOut(f"{self._address} took longer than {self._knobs.timeout_s:g} s"))
        failure = self.failure(str(error))
        if isinstance(error, TooLarge):  # a retry would get the same response
            return failure
        return Transient(failure, away=True, sent=not isinstance(error, Unreached))

    def response_failure(self, response: Response, advice: str = "") -> BackboneError | Transient:
        """The error of a response whose status is not 200; `advice` is added for status 404."""
        message = error_of(response).get("message")
        said = f"HTTP status {response.status}: {message}" if message else response.problem
        return self.status_failure(
            response.status, said + (advice if response.status == 404 else ""), response.headers
        )

    def status_failure(self, status: int, said: str, headers: Mapping[str, str]) -> BackboneError | Transient:
        """The error of an HTTP status that is not 200, with the message `said`."""
        if status in (401, 403):
            said += f" (the key is read from ${self._knobs.api_key_env})"
        failure = self.failure(said)
        if not is_retryable_status(status):
            return failure
        return Transient(failure, away=status >= 500, retry_after_s=retry_after_s(headers))

    def failure(self, what: str) -> BackboneError:
        """A BackboneError whose message does not contain the key, even if the endpoint repeats it."""
        return BackboneError(f"{self._address}: {self.without_key(what)}")

    def without_key(self, said: str) -> str:
        key = self._knobs.api_key
        return shortened(said.replace(key, "[key]") if key else said)

    def _in_a_slot(self, attempt: Callable[[], T], reserved: ExitStack) -> T:
        """The result of one attempt. After a success, `reserved` holds the attempt's slot."""
        with ExitStack() as slot:
            slot.enter_context(self._slots)
            value = attempt()
            reserved.enter_context(slot.pop_all())
            return value

    @property
    def _headers(self) -> Mapping[str, Any]:
        """The HTTP headers. The key is read from the environment at every call and stored nowhere."""
        key = self._knobs.api_key
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
