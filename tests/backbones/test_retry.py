"""Waits before another attempt: bounded, spread, as long as a server asks, and ended by an interrupt."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.backbones.retry import Retries, Transient, is_retryable_status, retry_after_s, wait_s
from imug_tts.contracts import BackboneError

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def failing(times: int, **how: object) -> Callable[[], str]:
    """An attempt that fails so many times, counted in the failure, and then succeeds."""
    failures = iter(range(1, times + 1))

    def attempt() -> str:
        if number := next(failures, 0):
            raise Transient(BackboneError(f"failure {number}"), **how)  # type: ignore[arg-type]
        return "done"

    return attempt


def retries(max_attempts: int = 3, patience_s: float = 0.0) -> Retries:
    return Retries(max_attempts=max_attempts, patience_s=patience_s, interrupted=threading.Event())


@given(failures=st.integers(1, 200), draw=st.floats(0, 0.999), asked=st.none() | st.floats(0, 1e9))
def test_no_wait_is_negative_or_longer_than_the_longest(
    failures: int, draw: float, asked: float | None
) -> None:
    wait = wait_s(failures, asked_s=asked, draw=lambda: draw)
    assert 0 <= wait <= 60
    if asked is not None:
        assert wait >= min(asked, 60)


def test_the_cap_doubles_with_every_failure() -> None:
    waits = [wait_s(n, first_s=1, longest_s=5, draw=lambda: 0.5) for n in (1, 2, 3, 4, 5)]
    assert waits == [0.5, 1, 2, 2.5, 2.5]


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_it_attempts_until_it_succeeds(failures: int) -> None:
    assert retries()(failing(failures, retry_after_s=0)) == ("done", failures + 1)


def test_the_last_failure_is_raised_without_a_wait_behind_it() -> None:
    started = time.monotonic()
    with pytest.raises(BackboneError, match="failure 2"):
        retries(2)(failing(9, retry_after_s=0.5))
    assert 0.5 <= time.monotonic() - started < 0.9


def test_what_is_not_transient_ends_it_at_once() -> None:
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise BackboneError("the key is wrong")

    with pytest.raises(BackboneError, match="key"):
        retries()(attempt)
    assert attempts == [1]


def test_a_server_that_is_away_is_waited_for_as_long_as_patience_lasts() -> None:
    away = {"away": True, "sent": False, "retry_after_s": 0}
    assert retries(max_attempts=1, patience_s=10)(failing(3, **away)) == ("done", 1)
    started = time.monotonic()
    with pytest.raises(BackboneError, match="failure"):
        retries(patience_s=1)(failing(1000, **away))
    assert 1 <= time.monotonic() - started < 2


def test_a_server_that_nobody_found_for_longer_than_that_is_not_waited_for_again() -> None:
    patient = retries(patience_s=0.3)
    for longest_s in (2.0, 0.2):
        started = time.monotonic()
        with pytest.raises(BackboneError):
            patient(failing(1000, away=True))
        assert time.monotonic() - started < longest_s
    assert patient(failing(0)).value == "done"
    assert patient(failing(1, away=True, retry_after_s=0)) == ("done", 2)


def test_an_interrupt_ends_a_wait() -> None:
    patient = retries(2)
    threading.Timer(0.2, patient.interrupted.set).start()
    started = time.monotonic()
    assert patient(failing(1, retry_after_s=60)).value == "done"
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "Thu, 01 Jan 2026 13:00:30 +0100"}, 30),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 +99999999999999"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(stated: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(stated, NOW) == seconds


numbers = st.integers(-(10**30), 10**30).map(str) | st.text(max_size=5)


@given(st.text() | st.builds("Mon, {} Jan {} {}:{}:{} {}".format, *6 * [numbers]) | st.just("9" * 5000))
def test_whatever_retry_after_says_it_is_a_wait_or_passed_over(stated: str) -> None:
    seconds = retry_after_s({"retry-after": stated}, NOW)
    assert seconds is None or 0 <= wait_s(1, asked_s=seconds) <= 60


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_these_statuses_are_tried_again(status: int) -> None:
    assert is_retryable_status(status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_these_are_not(status: int) -> None:
    assert not is_retryable_status(status)
