"""Cases: a model on servers reports late and unreachable servers, and can be interrupted and resumed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Final

from imug_tts.contracts import Backbone, BackboneError, Remote, TimedOut
from imug_tts.testing.conformance.subject import NotConforming, Subject, demand

__all__ = [
    "interrupt_ends_the_wait",
    "late_servers_time_out",
    "one_call_at_a_time",
    "unreachable_servers_are_errors",
]

_NOT_REMOTE: Final = "it runs in this process, and waits for no server"
_GRACE_S: Final = 2.0
"""Maximum duration of calls after `interrupt`, in seconds."""
_SLACK_S: Final = 1.0


def one_call_at_a_time(subject: Subject) -> list[str]:
    """Case: a remote model accepts one candidate per call, and its servers are reachable."""
    if not isinstance(subject.backbone, Remote):
        return [_NOT_REMOTE]
    most = subject.backbone.capabilities.max_batch
    demand(most == 1, f"capabilities.max_batch is {most}; a Remote takes one call at a time")
    with subject.backbone.answered(subject.any_request()) as candidate:
        demand(candidate.output is not None, f"it refuses: {candidate.reason}")
    away = subject.backbone.unreachable()
    demand(not away, f"its servers answer, and unreachable() says {dict(away)}")
    return []


def late_servers_time_out(subject: Subject) -> list[str]:
    """Case: a server that exceeds the timeout causes TimedOut."""
    if not isinstance(subject.backbone, Remote):
        return [_NOT_REMOTE]
    if subject.late is None:
        return ["no late server is given (Subject.late)"]
    with subject.late() as model:
        error = _failure(subject, model)
        demand(isinstance(error, TimedOut), f"a late server ends in {error!r}, not in TimedOut")
    return []


def unreachable_servers_are_errors(subject: Subject) -> list[str]:
    """Case: an unreachable server causes BackboneError, and `unreachable` names it with a reason."""
    if not isinstance(subject.backbone, Remote):
        return [_NOT_REMOTE]
    if subject.away is None:
        return ["no server is given that is away (Subject.away)"]
    with subject.away() as model:
        assert isinstance(model, Remote)
        named = model.unreachable()
        demand(
            bool(named) and all(named.values()), f"unreachable() says {dict(named)} of a server that is away"
        )
        _failure(subject, model)
    return []


def interrupt_ends_the_wait(subject: Subject) -> list[str]:
    """Case: after `interrupt`, running and later calls fail within two seconds. After `resume`, calls are
    sent again.
    """
    if not isinstance(subject.backbone, Remote):
        return [_NOT_REMOTE]
    given: AbstractContextManager[Backbone] | None = subject.late() if subject.late else None
    if given is None:
        return ["no late server is given (Subject.late)"]
    with given as model, ThreadPoolExecutor(1) as thread:
        assert isinstance(model, Remote)
        waiting = thread.submit(_failure, subject, model)
        time.sleep(0.1)  # the call is in flight
        started = time.monotonic()
        model.interrupt()
        waiting.result()
        _failure(subject, model)
        took = time.monotonic() - started
        model.resume()
        error = _failure(subject, model)
    demand(took <= _GRACE_S + _SLACK_S, f"calls went on for {took:.1f} s after interrupt()")
    demand(isinstance(error, TimedOut), f"after resume() a late server ends in {error!r}, not in TimedOut")
    return []


def _failure(subject: Subject, model: Backbone) -> BackboneError:
    """The error of a call. Raises NotConforming if there is none, or none of the engine's type."""
    try:
        model.generate([subject.any_request()])
    except BackboneError as error:
        return error
    except Exception as error:
        raise NotConforming(f"a call fails with {error!r}, which is no BackboneError") from error
    raise NotConforming("a call to a server that does not answer in time came back with an answer")
