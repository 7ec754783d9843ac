"""Base class of backbones that call a provider's model through the provider's own package.

The package writes requests and parses responses. Its HTTP calls use our client, so that the timeout covers a
whole call and an interrupt ends it. The package's own retries are off, because the engine counts ours.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from imug_tts.backbones.endpoint_calls import EndpointCalls
from imug_tts.backbones.http import HttpClient, HttpFailure
from imug_tts.backbones.prices import Price, Usage, read_prices
from imug_tts.backbones.retry import Transient
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    ConfigurationError,
    Cost,
    Finish,
    Remote,
    Request,
)
from imug_tts.dialogue import Part
from imug_tts.endpoint import PaidCalls
from imug_tts.knobs import Folder, component, knob
from imug_tts.urls import check_url

__all__ = ["Hosted", "transport_over"]


@component
class Hosted(PaidCalls, Remote):
    """A provider's model. The key is read from the environment and written nowhere."""

    model: str = knob("The provider's name of the model.", min_length=1, named=True)
    base_url: str | None = knob(
        "Address to use instead of the provider's, e.g. a proxy.", default=None, runtime=True
    )
    timeout_s: float = knob("Timeout of one attempt, in seconds.", default=300.0, gt=0, runtime=True)
    prices: Folder | None = knob(
        "File with prices by model (see docs/guides/closed_models.md); null uses dollars_per_call.",
        default=None,
        runtime=True,
    )
    dollars_per_call: float = knob(
        "Mean cost of an answered call in dollars, for dry runs, and for summaries if prices is null.",
        default=0.0,
        ge=0,
        runtime=True,
    )

    def __post_init__(self) -> None:
        if self.base_url is not None:
            check_url(self.base_url, "base_url")
        _ = self._calls, self._prices  # created here, before several threads use them

    @property
    @abstractmethod
    def _priced(self) -> Sequence[str]:
        """The models whose prices a call needs."""

    @abstractmethod
    def _call(self, request: Request) -> Candidate:
        """The candidate of one attempt through the package. Raises the errors of `_status_failure`, or
        HttpFailure.
        """

    @abstractmethod
    def _ask_for_model(self) -> None:
        """Request the model's metadata from the provider; raises as `_call`."""

    @cached_property
    def _calls(self) -> EndpointCalls:
        return EndpointCalls(self, self.model)

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
        """The answer to one request, with retries where they may help. `Cost.calls` counts the attempts that
        were sent.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: the last attempt failed; the message holds the provider's reason.
        """
        with self._calls.answered(partial(self._timed, request)) as (candidate, calls):
            cost = replace(candidate.cost, calls=calls)
            yield replace(
                candidate, cost=cost if self._prices else replace(cost, dollars=self.dollars_per_call)
            )

    def unreachable(self) -> dict[str, str]:
        """The address and the reason if the model cannot be used. The check requests metadata, which is
        free.
        """
        try:
            self._ask_for_model()
        except (BackboneError, HttpFailure, Transient) as error:
            return {self.base_url or self.model: str(error)}
        return {}

    def interrupt(self) -> None:
        self._calls.interrupt()

    def resume(self) -> None:
        self._calls.resume()

    def _timed(self, request: Request) -> Candidate:
        started = time.perf_counter()
        try:
            candidate = self._call(request)
        except (BackboneError, ConfigurationError, Transient):
            raise
        except HttpFailure as error:
            raise self._calls.broken(error) from None
        except Exception as error:  # packages raise arbitrary errors for unexpected bodies
            said = f"the response cannot be read: {type(error).__name__}: {error}"
            raise Transient(self._calls.failure(said)) from error
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
        """A candidate with its cost; `usage` is by priced model."""
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
            reason=self._calls.without_key(reason) if refused else None,
            thought=thought or None,
            source=source,
            cost=cost,
        )

    def _status_failure(
        self, status: int, message: str, headers: Mapping[str, str]
    ) -> BackboneError | Transient:
        """The error of an HTTP status that is not 200."""
        return self._calls.status_failure(status, f"HTTP status {status}: {message}", headers)

    @property
    def _key(self) -> str:
        """The provider's key. Raises BackboneError if the environment variable is not set."""
        key = self.api_key
        if not key:
            raise BackboneError(f"${self.api_key_env} is not set; export the provider's key under this name")
        return key


def transport_over(
    client: HttpClient, library: Any, on_body: Callable[[bytes], None] = lambda body: None
) -> Any:
    """A transport of `library` (httpx or httpx2) that sends its calls with `client`.

    `on_body` receives the body of each response, in the thread of the call.
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
