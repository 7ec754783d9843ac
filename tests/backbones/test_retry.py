"""Waits before another attempt: bounded, spread, and as long as a server asks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.backbones.retry import Backoff, Transient, is_retryable_status, retry_after_s, with_retries
from imug_tts.contracts import BackboneError, ConfigurationError

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


class Flaky:
    """Fails the first `failures` times."""

    def __init__(self, failures: int, asked_s: float | None = None) -> None:
        self.attempts = 0
        self._failures = failures
        self._asked_s = asked_s

    def __call__(self) -> str:
        self.attempts += 1
        if self.attempts <= self._failures:
            raise Transient(BackboneError(f"failure {self.attempts}"), retry_after_s=self._asked_s)
        return "done"


@given(failures=st.integers(1, 200), draw=st.floats(0, 0.999), asked=st.none() | st.floats(0, 1e9))
def test_no_wait_is_negative_or_longer_than_the_longest(
    failures: int, draw: float, asked: float | None
) -> None:
    backoff = Backoff(first_s=0.5, longest_s=60)
    assert 0 <= backoff.wait_s(failures, draw, asked) <= 60
    if asked is not None:
        assert backoff.wait_s(failures, draw, asked) >= min(asked, 60)


def test_the_cap_doubles_with_every_failure() -> None:
    backoff = Backoff(first_s=1, longest_s=5)
    assert [backoff.wait_s(n, 0.5) for n in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 2.5, 2.5]


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_it_attempts_until_it_succeeds(failures: int) -> None:
    flaky, waits = Flaky(failures), list[float]()
    retried = with_retries(flaky, Backoff(max_attempts=3), sleep=waits.append, draw=lambda: 0.5)
    assert (retried.value, retried.attempts) == ("done", failures + 1)
    assert waits == [0.25, 0.5][:failures]


def test_the_last_failure_is_raised_without_a_wait_behind_it() -> None:
    flaky, waits = Flaky(9, asked_s=2), list[float]()
    with pytest.raises(BackboneError, match="failure 3"):
        with_retries(flaky, Backoff(max_attempts=3), sleep=waits.append, draw=lambda: 0.0)
    assert waits == [2, 2]


def test_what_is_not_transient_ends_it_at_once() -> None:
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise BackboneError("the key is wrong")

    with pytest.raises(BackboneError, match="key"):
        with_retries(attempt, Backoff(max_attempts=3))
    assert attempts == [1]


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(stated: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(stated, NOW) == seconds


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_these_statuses_are_tried_again(status: int) -> None:
    assert is_retryable_status(status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_these_are_not(status: int) -> None:
    assert not is_retryable_status(status)


def test_no_attempt_at_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_attempts is 0"):
        Backoff(max_attempts=0)
