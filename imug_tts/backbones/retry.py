"""Calls over HTTP that may be made again: which failures, how often, and how long to wait before.

Waits grow exponentially with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog 2015): uniform between nothing and the cap of the attempt, so that many clients that failed
together do not come back together. A server that names a time in `Retry-After` is waited for.
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
    """An attempt failed in a way that the next may not; `failure` is what the last attempt raises.

    `away` says that the server is not there or out of order, whatever is asked of it. `sent` is false when
    no call was made. `retry_after_s` is the wait in seconds that the server asked for, if it did.
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
    """What the last attempt returned, and how many attempts were calls, counted from 1."""

    value: T
    calls: int


@dataclass(kw_only=True)
class Retries:
    """How calls to one model are attempted; shared by all of them, from any thread."""

    max_attempts: int
    """Of one call; those that find the server away are not counted."""
    patience_s: float = 0.0
    """How long a server may be away before calls that find it away fail."""
    interrupted: threading.Event
    """Ends every wait."""
    _away_since: float | None = field(default=None, init=False)
    """Of the first call that found the server away since one succeeded."""

    def __call__(self, attempt: Callable[[], T]) -> Retried[T]:
        """Attempt until it succeeds. `attempt` raises `Transient` for what may be tried again.

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
        """What is left for a call that first found the server away at `own_since`."""
        self._away_since = self._away_since or own_since
        return self.patience_s - (time.monotonic() - min(own_since, self._away_since))


@dataclass
class _Call:
    """What one call has been through: a request that alone finds the server away runs out of patience too."""

    retries: Retries
    failures: int = 0
    sent: int = 0
    counted: int = 0
    away_since: float | None = None
    wait_s: float = 0.0
    """Before the next attempt."""

    def goes_on(self, error: BaseException) -> bool:
        """Count a failed attempt; says whether there is another."""
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
    """The wait after so many failures in a row (1 or more), in seconds.

    Args:
        first_s: cap of the first wait; each further one is twice the one before.
        longest_s: no wait is longer, whatever a server asks for.
        asked_s: what the server asked for; it is waited for in full, and up to half the cap of this
            failure more, because everyone was asked for the same.
        draw: draws a random number in [0, 1).
    """
    cap: float = min(longest_s, first_s * 2.0 ** min(failures - 1, 64))
    wait = cap * draw() if asked_s is None else asked_s + cap / 2 * draw()
    return min(wait, longest_s)


def is_retryable_status(status: int) -> bool:
    """Whether an HTTP status speaks of the server's state rather than of the request."""
    return status in _RETRYABLE or status >= 500


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The wait that a response asks for: seconds, or the time until a date (RFC 9110, section 10.2.3).

    None where there is none or it cannot be read. `headers` finds names in any case, or has them in
    lower case.
    """
    stated = headers.get("retry-after", "").strip()
    if stated.isascii() and stated.isdigit():
        return float(stated)
    try:
        date = parsedate_to_datetime(stated)
    except Exception:  # it promises no closed set for texts from outside
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())
