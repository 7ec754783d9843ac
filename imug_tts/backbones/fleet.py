"""Base class of backbones that call one model on one or several HTTP servers.

The pool reserves a server for each call, failed calls are retried where a retry may succeed, and the server
stays reserved until the engine has written the answer to the journal.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import ClassVar, Final

from imug_tts.backbones.http import HttpClient, HttpFailure, Late, Response, TooLarge, Unreached
from imug_tts.backbones.pool import ServerFailure, ServerPool
from imug_tts.backbones.retry import Retries, is_retryable_status, retry_after_s
from imug_tts.contracts import BackboneError, Candidate, ConfigurationError, Remote, Request, TimedOut
from imug_tts.dialogue import Modality
from imug_tts.knobs import Several, component, knob
from imug_tts.urls import check_url

__all__ = ["HEALTH_S", "Ask", "Fleet"]

HEALTH_S: Final = 5.0
"""Timeout of a health check, in seconds."""

Ask = Callable[[str], Candidate]
"""A function that sends one call to the server at a URL. Raises `Transient` if a retry may succeed."""


class _Unreachable(ServerFailure):
    """The server could not be reached, so no call was made."""


@component
class Fleet(Remote):
    """A pool of servers of one model. A failing server is taken out of service and probed; a slow one gets
    fewer calls.
    """

    urls: Several[str] = knob(
        "URLs of the servers; all serve the same model.",
        default=("http://127.0.0.1:8000",),
        min_length=1,
        runtime=True,
    )
    per_server: int = knob(
        "Calls in flight per server; with 2, the next call is already queued at the server when it finishes "
        "one.",
        default=2,
        ge=1,
        runtime=True,
    )
    timeout_s: float = knob("Timeout of one attempt, in seconds.", default=600.0, gt=0, runtime=True)
    max_attempts: int = knob("Maximum number of attempts per call.", default=3, ge=1, runtime=True)
    patience_s: float = knob(
        "If all servers have been failing for this many seconds, calls fail without being sent.",
        default=60.0,
        gt=0,
        runtime=True,
    )
    dollars_per_call: float = knob(
        "Mean cost of an answered call in dollars, for dry runs and summaries.",
        default=0.0,
        ge=0,
        runtime=True,
    )
    probe: bool = knob(
        "Whether to probe each server with a few small calls before the first dialogue, to see if seeds, "
        "images and the assistant's texts influence the images that it draws.",
        default=True,
        runtime=True,
    )

    route: ClassVar[str] = ""
    """A suffix of URLs that is removed, e.g. "infer"."""

    def __post_init__(self) -> None:
        urls = tuple(_base(url, self.route) for url in self.urls)
        if len(set(urls)) < len(urls):
            raise ConfigurationError(f"urls is {list(urls)}; name each server once")
        object.__setattr__(self, "urls", urls)
        _ = self._pool, self._retries  # created here, before several threads use them

    @abstractmethod
    def _prepared(self, request: Request) -> Ask:
        """The function that asks a server for the answer to a request with one seed."""

    @abstractmethod
    def _out_of_order(self, url: str) -> str | None:
        """The reason why the server cannot be used now; None if it can."""

    @cached_property
    def _client(self) -> HttpClient:
        return HttpClient(timeout_s=self.timeout_s, proxies=False)  # model servers are in the local network

    @cached_property
    def _pool(self) -> ServerPool:
        return ServerPool(
            self.urls,
            per_server=self.per_server,
            patience_s=self.patience_s,
            probe=self._out_of_order,
            interrupted=self._client.interrupted,
        )

    @cached_property
    def _retries(self) -> Retries:
        return Retries(max_attempts=self.max_attempts, interrupted=self._client.interrupted)

    @property
    def _calls_at_once(self) -> int:
        return self._pool.slots + self._pool.lookahead

    @contextmanager
    def answered(self, request: Request) -> Iterator[Candidate]:
        """The answer to one request. Its server slot stays reserved until the block ends.

        A call is retried, on another server if possible, if the server did not answer, answered with a
        retryable status, or sent an incomplete answer. `Cost.calls` counts the attempts that reached a
        server. `Cost.seconds` is the duration of the last attempt, including its wait inside the server.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: the last attempt failed; the message holds the server's reason.
        """
        ask = self._prepared(request)
        with ExitStack() as reserved:
            candidate, calls = self._retries(partial(self._attempt, ask, request.modality, reserved))
            cost = replace(candidate.cost, calls=calls, dollars=self.dollars_per_call)
            yield replace(candidate, cost=cost)

    def unreachable(self) -> dict[str, str]:
        """The servers that cannot be used, each with the reason."""
        reasons = {url: self._out_of_order(url) for url in self.urls}
        return {url: reason for url, reason in reasons.items() if reason is not None}

    def interrupt(self) -> None:
        self._client.interrupt()
        self._pool.wake()

    def resume(self) -> None:
        self._client.resume()

    def to_probe(self) -> Mapping[str, Remote]:
        if not self.probe or "image" not in self.capabilities.outputs:
            return {}
        return {url: replace(self, urls=(url,)) for url in self.urls}

    def _attempt(self, ask: Ask, modality: Modality, reserved: ExitStack) -> Candidate:
        """The candidate of one attempt that reaches a server. After an answer, `reserved` holds the server's
        slot.
        """
        while True:
            try:
                with ExitStack() as attempt:
                    server = attempt.enter_context(self._pool.reserve(modality))
                    candidate = ask(server.url)
                    reserved.enter_context(attempt.pop_all())
                    return candidate
            except _Unreachable:
                continue  # the pool has taken it out of service, and raises if no server is left

    def _post(
        self, url: str, path: str, body: bytes | Iterable[bytes], headers: Mapping[str, str]
    ) -> Response:
        """The response to one POST, whatever its status.

        Raises:
            ServerFailure: no complete response came; a retry may succeed.
            BackboneError: the response is too large.
        """
        try:
            return self._client.send("POST", f"{url}/{path}", body=body, headers=headers)
        except Unreached as error:
            raise _Unreachable(BackboneError(f"{url} cannot be reached: {error}"), down=True) from error
        except Late as error:
            late = TimedOut(f"{url} took longer than {self.timeout_s:g} s")
            raise ServerFailure(late, down=True) from error
        except TooLarge as error:  # a retry would get the same response
            raise BackboneError(f"{url}: {error}") from error
        except HttpFailure as error:
            raise ServerFailure(BackboneError(f"{url}: {error}")) from error

    def _status_failure(self, url: str, response: Response) -> BackboneError | ServerFailure:
        """The error of a response whose status is not 200."""
        failure = BackboneError(f"{url}: {self._without_secrets(response.problem)}")
        if not is_retryable_status(response.status):
            return failure
        asked_s = retry_after_s(response.headers)
        overloaded = response.status == 429 or asked_s is not None
        return ServerFailure(failure, down=overloaded, retry_after_s=asked_s)

    def _without_secrets(self, said: str) -> str:
        """The server's words without secrets, for a message."""
        return said

    def _says_of_health(self, url: str, headers: Mapping[str, str] | None = None) -> str | None:
        """The reason why GET /health fails; None if the server answers, whatever the body."""
        try:
            response = self._client.send("GET", f"{url}/health", headers=headers, timeout_s=HEALTH_S)
        except HttpFailure as error:
            return f"no answer to GET /health: {error}"
        if is_retryable_status(response.status):
            return f"GET /health: HTTP status {response.status}"
        return None


def _base(url: str, route: str) -> str:
    """The URL without a trailing slash and route. Raises ConfigurationError if it is not a server's URL."""
    check_url(url, "urls")
    return re.sub(rf"(/{route})?/*$" if route else "/*$", "", url)
