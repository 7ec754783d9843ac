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
        "Another address than the provider's, e.g. a proxy's.", default=None, runtime=True
    )
    timeout_s: float = knob("Seconds that one attempt may take.", default=300.0, gt=0, runtime=True)
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
        _ = self._calls, self._prices  # made before any thread asks

    @property
    @abstractmethod
    def _priced(self) -> Sequence[str]:
        """The models that a call pays for."""

    @abstractmethod
    def _call(self, request: Request) -> Candidate:
        """One attempt, with the provider's package; raises what `_status_failure` gives, or HttpFailure."""

    @abstractmethod
    def _ask_for_model(self) -> None:
        """Ask the provider for the model; raises as `_call`."""

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
        """One call, attempted again where that may help; `Cost.calls` counts the attempts that were sent.

        Raises:
            TimedOut: the last attempt took longer than `timeout_s`.
            BackboneError: it failed, with what the provider said.
        """
        candidate, calls = self._calls.retried(partial(self._timed, request))
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
        self._calls.interrupt()

    def _timed(self, request: Request) -> Candidate:
        started = time.perf_counter()
        try:
            candidate = self._call(request)
        except (BackboneError, ConfigurationError, Transient):
            raise
        except HttpFailure as error:
            raise self._calls.broken(error) from None
        except Exception as error:  # what a package makes of a body that it does not expect
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
            reason=self._calls.without_key(reason) if refused else None,
            thought=thought or None,
            source=source,
            cost=cost,
        )

    def _status_failure(
        self, status: int, message: str, headers: Mapping[str, str]
    ) -> BackboneError | Transient:
        """What an HTTP status that is not 200 comes to."""
        return self._calls.status_failure(status, f"HTTP status {status}: {message}", headers)

    @property
    def _key(self) -> str:
        """Raises BackboneError where there is none."""
        key = self.api_key
        if not key:
            raise BackboneError(f"${self.api_key_env} is not set; export the provider's key under this name")
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
