"""Retries of HTTP calls: which failures are retried, how often, and how long to wait before a retry.

Waits grow exponentially with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog
2015): uniform between 0 and the cap of the attempt, so that many clients that failed together do not retry
together. A server's `Retry-After` is respected.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Generic, NamedTuple, TypeVar

from tenacity import Retrying, retry_if_exception
from tenacity.nap import sleep_using_event

from imug_tts.contracts import BackboneError

__all__ = ["Retried", "Retries", "Transient", "is_retryable_status", "retry_after_s", "wait_s"]

T = TypeVar("T")

_RETRYABLE: Final = frozenset([408, 409, 425, 429])


class Transient(Exception):
    """An attempt failed, and a retry may succeed. `failure` is raised if the last attempt fails this way.

    `away`: the server is unavailable, whatever the request. `sent`: False if no call was made.
    `retry_after_s`: the wait in seconds that the server asked for, if any.
    """

    def __init__(
        self,
        failure: BackboneError,
        *,
        away: bool = False,
        sent: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.away = away
        self.sent = sent
        self.retry_after_s = retry_after_s


class Retried(NamedTuple, Generic[T]):
    """The result of the successful attempt, and the number of calls that were sent."""

    value: T
    calls: int


@dataclass(kw_only=True)
class Retries:
    """The retry policy of calls to one model; shared by all of them. Thread-safe."""

    max_attempts: int
    """Maximum number of attempts of one call; attempts that find the server unavailable do not count."""
    patience_s: float = 0.0
    """Maximum time for which calls wait for an unavailable server, in seconds."""
    interrupted: threading.Event
    """An event that ends every wait."""
    _away_since: float | None = field(default=None, init=False)
    """Time of the first call that found the server unavailable since the last success."""

    def __call__(self, attempt: Callable[[], T]) -> Retried[T]:
        """The result of the first successful attempt. `attempt` raises `Transient` if it may be retried.

        Raises:
            BackboneError: the failure of the last attempt.
        """
        call = _Call(self)
        retrying = Retrying(
            retry=retry_if_exception(call.goes_on),
            wait=lambda state: call.wait_s,
            sleep=sleep_using_event(self.interrupted),
        )
        try:
            value = retrying(attempt)
        except Transient as transient:
            raise transient.failure from transient
        self._away_since = None
        return Retried(value, call.sent + 1)

    def patience_left_s(self, own_since: float) -> float:
        """The seconds left to wait for a call that first found the server unavailable at `own_since`."""
        self._away_since = self._away_since or own_since
        return self.patience_s - (time.monotonic() - min(own_since, self._away_since))


@dataclass
class _Call:
    """The retry state of one call. A call also has its own waiting time, if only its requests find the server
    unavailable.
    """

    retries: Retries
    failures: int = 0
    sent: int = 0
    counted: int = 0
    away_since: float | None = None
    wait_s: float = 0.0
    """Wait before the next attempt, in seconds."""

    def goes_on(self, error: BaseException) -> bool:
        """Count a failed attempt; returns whether to retry."""
        if not isinstance(error, Transient):
            return False
        self.sent += error.sent
        self.failures += 1
        self.wait_s = wait_s(self.failures, asked_s=error.retry_after_s)
        if not error.away:
            self.counted += 1
            return self.counted < self.retries.max_attempts
        self.away_since = self.away_since or time.monotonic()
        left_s = self.retries.patience_left_s(self.away_since)
        self.wait_s = min(self.wait_s, left_s)
        return left_s > 0


def wait_s(
    failures: int,
    *,
    first_s: float = 0.5,
    longest_s: float = 60.0,
    asked_s: float | None = None,
    draw: Callable[[], float] = random.random,
) -> float:
    """The wait after the given number of failures in a row (1 or more), in seconds.

    Args:
        first_s: cap of the first wait; each further cap is twice the previous one.
        longest_s: upper limit of every wait, including waits that a server asks for.
        asked_s: the wait that the server asked for. It is waited in full, plus up to half the cap of this
            failure, because the server asks all clients for the same wait.
        draw: returns a random number in [0, 1).
    """
    cap: float = min(longest_s, first_s * 2.0 ** min(failures - 1, 64))
    wait = cap * draw() if asked_s is None else asked_s + cap / 2 * draw()
    return min(wait, longest_s)


def is_retryable_status(status: int) -> bool:
    """Whether an HTTP status describes the server's state rather than the request."""
    return status in _RETRYABLE or status >= 500


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The wait that a response asks for: seconds, or the time until a date (RFC 9110, section 10.2.3).

    None if there is none or it cannot be parsed. `headers` ignores the case of names, or has lower-case
    names.
    """
    stated = headers.get("retry-after", "").strip()
    if stated.isascii() and stated.isdigit():
        return float(stated)
    try:
        date = parsedate_to_datetime(stated)
    except Exception:  # the parser documents no set of exceptions for arbitrary text
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())
