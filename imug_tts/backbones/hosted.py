"""Models of a provider behind the provider's own package: attempts, failures, keys and prices.

The package writes requests and reads responses. Its HTTP calls go over our client, so that the limit of time
is that of a whole call and an interrupt ends it; its own retries are off, because ours are counted.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NoReturn

from imug_tts.backbones.http import HttpClient, HttpFailure, Late, TooLarge, Unreached
from imug_tts.backbones.prices import Price, Usage, read_prices
from imug_tts.backbones.retry import Retries, Transient, is_retryable_status, retry_after_s
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    ConfigurationError,
    Cost,
    Finish,
    Remote,
    Request,
    TimedOut,
)
from imug_tts.dialogue import Part
from imug_tts.infer_protocol import shortened
from imug_tts.knobs import Folder, component, knob
from imug_tts.secrecy import key_from
from imug_tts.urls import check_url

__all__ = ["Hosted", "transport_over"]


@component
class Hosted(Remote):
    """A provider's model. The key is read from the environment and written nowhere."""

    model: str = knob("The provider's name of the model.", min_length=1, named=True)
    base_url: str | None = knob(
        "Another address than the provider's, e.g. a proxy's.", default=None, runtime=True
    )
    concurrency: int = knob("Calls in flight.", default=8, ge=1, runtime=True)
    timeout_s: float = knob("Seconds that one attempt may take.", default=300.0, gt=0, runtime=True)
    max_attempts: int = knob(
        "Attempts of one call; those that find the provider away are not counted.",
        default=5,
        ge=1,
        runtime=True,
    )
    patience_s: float = knob(
        "Seconds that the provider may be away (no connection, a broken one, status 5xx) before calls fail.",
        default=60.0,
        ge=0,
        runtime=True,
    )
    prices: Folder | None = knob(
        "A file of prices by model (see docs/guides/closed_models.md); null: dollars_per_call.",
        default=None,
        runtime=True,
    )
    dollars_per_call: float = knob(
        "What an answered call costs on average, for dry runs, and for summaries without prices.",
        default=0.0,
        ge=0,
        runtime=True,
    )

    def __post_init__(self) -> None:
        if self.base_url is not None:
            check_url(self.base_url, "base_url")
        _ = self._client, self._retries, self._prices  # made before any thread asks

    @property
    @abstractmethod
    def _key_variable(self) -> str:
        """The environment variable that holds the key."""

    @property
    @abstractmethod
    def _priced(self) -> Sequence[str]:
        """The models that a call pays for."""

    @abstractmethod
    def _call(self, request: Request) -> Candidate:
        """One attempt, with the package of the provider; raises as `_raise_status` does, or HttpFailure."""

    @abstractmethod
    def _ask_for_model(self) -> None:
        """Ask the provider for the model; raises as `_call`."""

    @cached_property
    def _client(self) -> HttpClient:
        return HttpClient(timeout_s=self.timeout_s, proxies=True)

    @cached_property
    def _retries(self) -> Retries:
        return Retries(
            max_attempts=self.max_attempts, patience_s=self.patience_s, interrupted=self._client.interrupted
        )

    @cached_property
    def _prices(self) -> Mapping[str, Price]:
        if self.prices is None:
            return {}
        prices = read_prices(self.prices)
        if missing := [model for model in self._priced if model not in prices]:
            raise ConfigurationError(f"{self.prices} has no price of {', '.join(missing)}; add one")
        return prices

    @contextmanager
    def answered(self, request: Request) -> Iterator[Candidate]:
        """One call, attempted again where that may help; `Cost.calls` counts the attempts that were sent.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: it failed, with what the provider said.
        """
        candidate, calls = self._retries(partial(self._timed, request))
        cost = replace(candidate.cost, calls=calls)
        yield replace(candidate, cost=cost if self._prices else replace(cost, dollars=self.dollars_per_call))

    def unreachable(self) -> dict[str, str]:
        """The provider and why, when the model cannot be used; asks for the model, which costs nothing."""
        try:
            self._ask_for_model()
        except (BackboneError, HttpFailure, Transient) as error:
            return {self.base_url or self.model: str(error)}
        return {}

    def interrupt(self) -> None:
        self._client.interrupt()

    def _timed(self, request: Request) -> Candidate:
        started = time.perf_counter()
        try:
            candidate = self._call(request)
        except (BackboneError, ConfigurationError, Transient):
            raise
        except HttpFailure as error:
            self._raise_broken(error)
        except Exception as error:  # what a package makes of a body that it does not expect
            said = f"the response cannot be read: {type(error).__name__}: {error}"
            raise Transient(self._failure(said)) from error
        seconds = time.perf_counter() - started
        return replace(candidate, cost=replace(candidate.cost, seconds=seconds))

    def _candidate(
        self,
        output: Part | None,
        finish: Finish,
        reason: str,
        usage: Mapping[str, Usage],
        *,
        thought: str = "",
        source: str,
    ) -> Candidate:
        """A candidate with what it costs; `usage` is by priced model."""
        dollars = sum(self._prices[model].dollars(used) for model, used in usage.items() if self._prices)
        total = list(usage.values())
        cost = Cost(
            prompt_tokens=sum(used.input + used.image_input for used in total),
            cached_tokens=sum(used.cached_input + used.cached_image_input for used in total),
            new_tokens=sum(used.output + used.image_output for used in total),
            images=int(output is not None and output.modality == "image"),
            dollars=dollars,
        )
        refused = output is None
        return Candidate(
            output=output,
            finish="refused" if refused else finish,
            reason=self._without_key(reason) if refused else None,
            thought=thought or None,
            source=source,
            cost=cost,
        )

    def _raise_status(self, status: int, message: str, headers: Mapping[str, str]) -> NoReturn:
        """Raise what an HTTP status that is not 200 comes to."""
        said = f"HTTP status {status}: {message}"
        if status in (401, 403):
            said += f" (the key is read from ${self._key_variable})"
        failure = self._failure(said)
        if not is_retryable_status(status):
            raise failure
        raise Transient(failure, away=status >= 500, retry_after_s=retry_after_s(headers))

    def _raise_broken(self, error: HttpFailure) -> NoReturn:
        """Raise what a call without a whole response comes to."""
        if isinstance(error, Late):
            raise Transient(TimedOut(f"{self.model} took longer than {self.timeout_s:g} s"))
        failure = self._failure(str(error))
        if isinstance(error, TooLarge):  # another attempt would fetch as much again
            raise failure
        raise Transient(failure, away=True, sent=not isinstance(error, Unreached))

    def _failure(self, what: str) -> BackboneError:
        return BackboneError(f"{self.model}: {self._without_key(what)}")

    def _without_key(self, said: str) -> str:
        key = key_from(self._key_variable)
        return shortened(said.replace(key, "[key]") if key else said)

    @property
    def _key(self) -> str:
        """Raises BackboneError where there is none."""
        key = key_from(self._key_variable)
        if not key:
            raise BackboneError(
                f"${self._key_variable} is not set; export the provider's key under this name"
            )
        return key


def transport_over(
    client: HttpClient, library: Any, on_body: Callable[[bytes], None] = lambda body: None
) -> Any:
    """A transport of `library` (httpx or httpx2) that makes its calls over `client`.

    `on_body` is told the body of each response, in the thread of the call.
    """

    class Transport(library.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            headers = {**request.headers, "accept-encoding": "gzip, deflate"}
            headers.pop("host", None)
            response = client.send(request.method, str(request.url), body=request.read(), headers=headers)
            on_body(response.body)
            kept = {
                name: value
                for name, value in response.headers.items()
                if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
            }
            return library.Response(response.status, headers=kept, content=response.body, request=request)

    return Transport()
