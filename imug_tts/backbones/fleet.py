"""A model on one HTTP server or several: what all clients of such servers have in common.

A call goes to the server that the pool lends, is attempted again where another attempt may succeed, and
keeps its server until the engine has written the answer to the journal.
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
"""How long a server may take to say how it is, in seconds."""

Ask = Callable[[str], Candidate]
"""Asks the server at a URL once. Raises `Transient` for what another attempt may mend."""


class _Unreachable(ServerFailure):
    """The server was not reached, so that no call was made."""


@component
class Fleet(Remote):
    """Servers of one model. A server that fails is set aside and probed; a slow one gets fewer calls."""

    urls: Several[str] = knob(
        "Where the servers are; all offer the same model.",
        default=("http://127.0.0.1:8000",),
        min_length=1,
        runtime=True,
    )
    per_server: int = knob(
        "Calls in flight on one server; with 2 the next one waits there when the server ends one.",
        default=2,
        ge=1,
        runtime=True,
    )
    timeout_s: float = knob("Seconds that one attempt may take.", default=600.0, gt=0, runtime=True)
    max_attempts: int = knob("Attempts of one call.", default=3, ge=1, runtime=True)
    patience_s: float = knob(
        "Seconds that all servers may be failing before calls fail without being made.",
        default=60.0,
        gt=0,
        runtime=True,
    )
    dollars_per_call: float = knob(
        "What an answered call costs on average, for dry runs and summaries.", default=0.0, ge=0, runtime=True
    )
    probe: bool = knob(
        "Whether a few small calls to each server show, before the first dialogue, whether seeds, images and "
        "the assistant's words count when it draws.",
        default=True,
        runtime=True,
    )

    route: ClassVar[str] = ""
    """What a URL may end with, and is left out, e.g. "infer"."""

    def __post_init__(self) -> None:
        urls = tuple(_base(url, self.route) for url in self.urls)
        if len(set(urls)) < len(urls):
            raise ConfigurationError(f"urls is {list(urls)}; name each server once")
        object.__setattr__(self, "urls", urls)
        _ = self._pool, self._retries  # made before any thread asks

    @abstractmethod
    def _prepared(self, request: Request) -> Ask:
        """How to ask a server for the answer to a request of one seed."""

    @abstractmethod
    def _out_of_order(self, url: str) -> str | None:
        """Why the server cannot be used now; None when it can."""

    @cached_property
    def _client(self) -> HttpClient:
        return HttpClient(timeout_s=self.timeout_s, proxies=False)  # servers stand nearby

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
        """One call, whose server takes no other in its place before the block ends.

        A call is attempted again, elsewhere if it can be, when the server did not answer, answered with a
        status that speaks of the server, or with no whole answer. `Cost.calls` counts the attempts that
        reached a server, and `Cost.seconds` is the time of the last, with its wait in that server.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: it failed, with the reason that the server gave.
        """
        ask = self._prepared(request)
        with ExitStack() as lent:
            candidate, calls = self._retries(partial(self._attempt, ask, request.modality, lent))
            cost = replace(candidate.cost, calls=calls, dollars=self.dollars_per_call)
            yield replace(candidate, cost=cost)

    def unreachable(self) -> dict[str, str]:
        """The servers that are out of order, and why."""
        reasons = {url: self._out_of_order(url) for url in self.urls}
        return {url: reason for url, reason in reasons.items() if reason is not None}

    def interrupt(self) -> None:
        self._client.interrupt()
        self._pool.wake()

    def to_probe(self) -> Mapping[str, Remote]:
        if not self.probe or "image" not in self.capabilities.outputs:
            return {}
        return {url: replace(self, urls=(url,)) for url in self.urls}

    def _attempt(self, ask: Ask, modality: Modality, lent: ExitStack) -> Candidate:
        """One attempt that reaches a server, which `lent` keeps if it has answered."""
        while True:
            try:
                with ExitStack() as this_time:
                    server = this_time.enter_context(self._pool.lend(modality))
                    candidate = ask(server.url)
                    lent.enter_context(this_time.pop_all())
                    return candidate
            except _Unreachable:
                continue  # the pool has set it aside, and says when there is no other

    def _post(
        self, url: str, path: str, body: bytes | Iterable[bytes], headers: Mapping[str, str]
    ) -> Response:
        """The response of one call, whatever its status.

        Raises:
            ServerFailure: there is no whole response; another attempt may have one.
            BackboneError: the response is too large.
        """
        try:
            return self._client.send("POST", f"{url}/{path}", body=body, headers=headers)
        except Unreached as error:
            raise _Unreachable(BackboneError(f"{url} cannot be reached: {error}"), down=True) from error
        except Late as error:
            late = TimedOut(f"{url} took longer than {self.timeout_s:g} s")
            raise ServerFailure(late, down=True) from error
        except TooLarge as error:  # another attempt would fetch as much again
            raise BackboneError(f"{url}: {error}") from error
        except HttpFailure as error:
            raise ServerFailure(BackboneError(f"{url}: {error}")) from error

    def _status_failure(self, url: str, response: Response) -> BackboneError | ServerFailure:
        """What a response that is not 200 comes to, to be raised."""
        failure = BackboneError(f"{url}: {self._without_secrets(response.problem)}")
        if not is_retryable_status(response.status):
            return failure
        asked_s = retry_after_s(response.headers)
        overloaded = response.status == 429 or asked_s is not None
        return ServerFailure(failure, down=overloaded, retry_after_s=asked_s)

    def _without_secrets(self, said: str) -> str:
        """What a server said, for a message."""
        return said

    def _says_of_health(self, url: str, headers: Mapping[str, str] | None = None) -> str | None:
        """Why GET /health speaks against the server; None when it answers, in whatever words."""
        try:
            response = self._client.send("GET", f"{url}/health", headers=headers, timeout_s=HEALTH_S)
        except HttpFailure as error:
            return f"no answer to GET /health: {error}"
        if is_retryable_status(response.status):
            return f"GET /health: HTTP status {response.status}"
        return None


def _base(url: str, route: str) -> str:
    """The URL without its last slash and route. Raises ConfigurationError when it is not a server's."""
    check_url(url, "urls")
    return re.sub(rf"(/{route})?/*$" if route else "/*$", "", url)
