"""A backbone behind the official /infer protocol (see `imug_tts.infer_protocol`).

Models that pin packages of their own run in a server of theirs, and this is the client. The engine
asks from as many threads as calls may be in flight; the pool finds each one a server.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Final

from imug_tts.backbones.http import HttpClient, HttpFailure, Late, Response, TooLarge, Unreached
from imug_tts.backbones.imug_server.pool import ServerFailure, ServerPool
from imug_tts.backbones.retry import Retries, Transient, is_retryable_status, retry_after_s
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    Capabilities,
    ConfigurationError,
    Cost,
    Remote,
    Request,
    TimedOut,
)
from imug_tts.dialogue import Modality
from imug_tts.infer_protocol import ProtocolError, RequestBody, ResponseError, read_response
from imug_tts.knobs import Several, component, knob
from imug_tts.urls import check_url

__all__ = ["ImugServerBackbone"]

_VERSION: Final = "1"
_PROBE_S: Final = 5.0
_GREEDY: Final = 0.01
_LARGE_BYTES: Final = 1 << 20
"""Longer requests are sent image by image, so that many in flight fit into memory."""


class _Unreachable(ServerFailure):
    """The server was not reached, so that no call was made."""


@component
class ImugServerBackbone(Remote):
    """Any model that one server or several offer over /infer.

    The protocol has no limit of tokens, and it does not say which model answers: `model` names it and its
    version, as a part of every call's identity. Without it the URLs stand for it. What the model can do
    (`outputs`, `reads_images`, `draws_from_images`) cannot be asked either.
    """

    urls: Several[str] = knob(
        "Where the servers are, with or without /infer at the end; all offer the same model.",
        default=("http://127.0.0.1:8000",),
        min_length=1,
        runtime=True,
    )
    model: str | None = knob(
        "Name and version of the model, part of every call's identity; null: the URLs stand for it.",
        default=None,
        named=True,
    )
    # What the model can do tells nothing of an answer that `model` does not tell already.
    outputs: Several[Modality] = knob(
        "What the model outputs.", default=("text", "image"), min_length=1, named=True
    )
    reads_images: bool = knob(
        "Whether it understands images of the history when it answers in text.", default=True, named=True
    )
    draws_from_images: bool = knob(
        "Whether images of the history influence what it draws.", default=True, named=True
    )
    greedy_temperature: float = knob(
        "What is sent for a temperature of 0, by which some servers divide. The default is so low that the "
        "best token all but always wins; servers that take 0 for greedy may be sent 0.",
        default=_GREEDY,
        ge=0,
        named=True,
    )
    send_seed: bool = knob(
        "False for servers that refuse a key which is not in the protocol.", default=True, named=True
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

    def __post_init__(self) -> None:
        urls = tuple(_base(url) for url in self.urls)
        if len(set(urls)) < len(urls):
            raise ConfigurationError(f"urls is {list(urls)}; name each server once")
        object.__setattr__(self, "urls", urls)
        _ = self._pool, self._retries  # made before any thread asks

    @cached_property
    def _client(self) -> HttpClient:
        return HttpClient(timeout_s=self.timeout_s, proxies=False)  # servers stand nearby

    @cached_property
    def _pool(self) -> ServerPool:
        return ServerPool(
            self.urls,
            per_server=self.per_server,
            patience_s=self.patience_s,
            probe=partial(_out_of_order, self._client),
            interrupted=self._client.interrupted,
        )

    @cached_property
    def _retries(self) -> Retries:
        return Retries(max_attempts=self.max_attempts, interrupted=self._client.interrupted)

    @property
    def identity(self) -> str:
        """Name and version of the model, or where it is served, and how it is asked if not as usual."""
        greedy = "" if self.greedy_temperature == _GREEDY else f":greedy={self.greedy_temperature:g}"
        unseeded = "" if self.send_seed else ":unseeded"
        return f"imug_server:{_VERSION}:{self.model or '+'.join(sorted(self.urls))}{unseeded}{greedy}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset(self.outputs),
            reads_images=self.reads_images,
            draws_from_images=self.draws_from_images,
            seeds="best_effort" if self.send_seed and self._read_seeds else "none",
            logits=False,
            max_batch=1,
            concurrent_batches=self._pool.slots + self._pool.lookahead,
        )

    @contextmanager
    def answered(self, request: Request) -> Iterator[Candidate]:
        """One call, whose server takes no other in its place before the block ends.

        A call is attempted again, elsewhere if it can be, when the server did not answer, answered with a
        status that speaks of the server, with `response.error` or with no whole answer. `Cost.calls`
        counts the attempts that reached a server, and `Cost.seconds` is the time of the last, with its wait
        in that server.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: it failed, with the reason that the server gave.
        """
        body = self._body(request)
        with ExitStack() as lent:
            candidate, calls = self._retries(partial(self._attempt, body, request.modality, lent))
            cost = replace(candidate.cost, calls=calls, dollars=self.dollars_per_call)
            yield replace(candidate, cost=cost)

    def unreachable(self) -> dict[str, str]:
        """The servers that are out of order, and why."""
        reasons = {url: _out_of_order(self._client, url) for url in self.urls}
        return {url: reason for url, reason in reasons.items() if reason is not None}

    def interrupt(self) -> None:
        self._client.interrupt()
        self._pool.wake()

    @cached_property
    def _read_seeds(self) -> bool:
        """Whether every server announces at GET /health that it reads the seed; asked once."""
        with ThreadPoolExecutor(len(self.urls)) as threads:
            return all(threads.map(partial(_announces_seeds, self._client), self.urls))

    def _body(self, request: Request) -> bytes | RequestBody:
        [seed] = request.seeds
        body = RequestBody(
            history=request.history,
            modality=request.modality,
            temperature=request.sampling.temperature or self.greedy_temperature,
            seed=seed % 2**31 if self.send_seed else None,  # some servers keep seeds in 32 bits
        )
        return b"".join(body) if len(body) <= _LARGE_BYTES else body

    def _attempt(self, body: bytes | RequestBody, modality: Modality, lent: ExitStack) -> Candidate:
        """One attempt that reaches a server, which `lent` keeps if it has answered."""
        while True:
            try:
                with ExitStack() as this_time:
                    server = this_time.enter_context(self._pool.lend(modality))
                    candidate = self._infer(server.url, body, modality)
                    lent.enter_context(this_time.pop_all())
                    return candidate
            except _Unreachable:
                continue  # the pool has set it aside, and says when there is no other

    def _infer(self, url: str, body: bytes | RequestBody, modality: Modality) -> Candidate:
        """One call to one server."""
        started = time.perf_counter()
        # With its length in the header it is not sent in HTTP chunks, which small servers cannot read.
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        try:
            response = self._client.send("POST", f"{url}/infer", body=body, headers=headers)
        except Unreached as error:
            raise _Unreachable(BackboneError(f"{url} cannot be reached: {error}"), down=True) from error
        except Late as error:
            late = TimedOut(f"{url} took longer than {self.timeout_s:g} s")
            raise ServerFailure(late, down=True) from error
        except TooLarge as error:  # another attempt would fetch as much again
            raise BackboneError(f"{url}: {error}") from error
        except HttpFailure as error:
            raise ServerFailure(BackboneError(f"{url}: {error}")) from error
        if response.status != 200:
            raise self._refused(url, response)
        seconds = time.perf_counter() - started
        try:
            output = read_response(response.body, modality)
        except ProtocolError as error:
            raise Transient(BackboneError(f"{url}: {error}")) from error
        except ResponseError as error:
            raise Transient(BackboneError(f"{url}: the model failed: {error}")) from error
        return Candidate(output=output, cost=Cost(images=int(output.modality == "image"), seconds=seconds))

    def _refused(self, url: str, response: Response) -> BackboneError | Transient:
        failure = BackboneError(f"{url}: {response.problem}")
        if not is_retryable_status(response.status):
            return failure
        asked_s = retry_after_s(response.headers)
        overloaded = response.status == 429 or asked_s is not None
        return ServerFailure(failure, down=overloaded, retry_after_s=asked_s)


def _out_of_order(client: HttpClient, url: str) -> str | None:
    """Why the server is not in order; None when it answers GET /health, in whatever words."""
    try:
        response = client.send("GET", f"{url}/health", timeout_s=_PROBE_S)
    except HttpFailure as error:
        return f"no answer to GET /health: {error}"
    if is_retryable_status(response.status):
        return f"GET /health: HTTP status {response.status}"
    return None


def _announces_seeds(client: HttpClient, url: str) -> bool:
    try:
        health = json.loads(client.send("GET", f"{url}/health", timeout_s=_PROBE_S).body)
    except (HttpFailure, BackboneError, ValueError, RecursionError):
        return False
    return isinstance(health, dict) and health.get("seeds") is True


def _base(url: str) -> str:
    """The URL without its last slash and /infer. Raises ConfigurationError when it is not a server's."""
    check_url(url, "urls")
    return re.sub(r"(/infer)?/*$", "", url)
