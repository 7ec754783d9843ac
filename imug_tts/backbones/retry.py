"""Calls over HTTP that may be made again: which failures, how often, and how long to wait before.

Waits grow exponentially with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog 2015): uniform between nothing and the cap of the attempt, so that many clients that failed
together do not come back together. A server that names a time in `Retry-After` is waited for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Generic, NamedTuple, TypeVar

from imug_tts.contracts import BackboneError, ConfigurationError

__all__ = ["Backoff", "Retried", "Transient", "is_retryable_status", "retry_after_s", "with_retries"]

T = TypeVar("T")

_RETRYABLE: Final = frozenset([408, 409, 425, 429])


class Transient(Exception):
    """An attempt failed in a way that the next may not; `failure` is what the last attempt raises.

    `retry_after_s` is the wait in seconds that the server asked for, if it did.
    """

    def __init__(self, failure: BackboneError, *, retry_after_s: float | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.retry_after_s = retry_after_s


class Retried(NamedTuple, Generic[T]):
    """What the last attempt returned, and how many attempts it took, counted from 1."""

    value: T
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often a call is attempted, and the waits between attempts, in seconds."""

    max_attempts: int = 3
    first_s: float = 0.5
    """Cap of the first wait; each further one is twice the one before."""
    longest_s: float = 60.0
    """No wait is longer, whatever a server asks for."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts is {self.max_attempts}; it must be 1 or more")

    def wait_s(self, failures: int, draw: float, asked_s: float | None = None) -> float:
        """The wait after so many failures in a row (1 or more).

        Args:
            draw: a random number in [0, 1).
            asked_s: what the server asked for; it is waited for in full, and up to half the cap of this
                failure more, because everyone was asked for the same.
        """
        cap: float = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 64))
        wait = cap * draw if asked_s is None else asked_s + cap / 2 * draw
        return min(wait, self.longest_s)


def with_retries(
    attempt: Callable[[], T],
    backoff: Backoff,
    *,
    sleep: Callable[[float], None] = time.sleep,
    draw: Callable[[], float] = random.random,
) -> Retried[T]:
    """Attempt until it succeeds, at most `backoff.max_attempts` times.

    `attempt` raises `Transient` for what may be tried again; anything else ends it at once.

    Raises:
        BackboneError: the failure of the last attempt.
    """
    for number in range(1, backoff.max_attempts):
        try:
            return Retried(attempt(), number)
        except Transient as transient:
            sleep(backoff.wait_s(number, draw(), transient.retry_after_s))
    try:
        return Retried(attempt(), backoff.max_attempts)
    except Transient as transient:
        raise transient.failure from transient


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
    except ValueError:
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())
