"""A pool of servers of one model: it selects the server of each call and takes failing servers out of
service.

A call goes to a free server, the fastest first. A server that cannot be reached, is overloaded or fails
repeatedly is out of service for a time that grows with every failure in a row. It must then answer a probe
before it gets calls again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from imug_tts.backbones.retry import Transient, wait_s
from imug_tts.contracts import BackboneError
from imug_tts.dialogue import Modality

__all__ = ["Server", "ServerFailure", "ServerPool"]

_NEWEST_WEIGHT: Final = 0.3
_FIRST_REST_S: Final = 0.2
_TOLERATED: Final = 2
"""Failures in a row that may be caused by the request: official servers answer 500 if their model fails."""


class ServerFailure(Transient):
    """The server failed. If the fault is certainly the server's (`down`), it is taken out of service at
    once.
    """

    def __init__(
        self, failure: BackboneError, *, down: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(failure, retry_after_s=retry_after_s)
        self.down = down


@dataclass(eq=False)
class Server:
    """The pool's state of one server. Times are from the monotonic clock, in seconds."""

    url: str
    in_flight: int = 0
    failures: int = 0
    """Number of failures in a row."""
    failing_since: float | None = None
    rests_until: float | None = None
    """The time until which the server is out of service; None if it is in service."""
    reason: str = ""
    """The reason of the last failure."""
    usual_s: dict[Modality, float] = field(default_factory=dict)
    """Moving average of the duration of a call in seconds, by modality."""

    def seconds(self, modality: Modality) -> float:
        """The expected duration of a call in seconds; 0 if unknown."""
        return self.usual_s.get(modality, 0.0)

    def took(self, modality: Modality, seconds: float) -> None:
        usual = self.usual_s.get(modality, seconds)
        self.usual_s[modality] = usual + _NEWEST_WEIGHT * (seconds - usual)

    def succeeded(self) -> None:
        self.failures, self.failing_since = 0, None

    def failed(self, failure: ServerFailure) -> None:
        now = time.monotonic()
        self.failures += 1
        self.failing_since = self.failing_since or now
        self.reason = str(failure)
        if failure.down or self.failures > _TOLERATED:
            # Several unanswerable requests in a row must not take a healthy server out of service for long.
            steps = self.failures if failure.down else _TOLERATED + 1
            self.rests_until = now + wait_s(steps, first_s=_FIRST_REST_S, asked_s=failure.retry_after_s)


class ServerPool:
    """Reserves server slots for the threads that make calls. Thread-safe."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        per_server: int,
        patience_s: float,
        probe: Callable[[str], str | None],
        interrupted: threading.Event,
    ) -> None:
        """Create one pool for all threads.

        Args:
            per_server: number of slots of one server.
            patience_s: if all servers have been failing for longer than this, calls fail at once.
            probe: returns the reason why the server at a URL cannot be used, or None if it can.
            interrupted: after it is set and `wake` is called, waiting calls fail.
        """
        self.servers = [Server(url) for url in urls]
        self.slots = per_server * len(urls)
        # Additional calls that may queue here: they keep servers busy while the next call is prepared, and an
        # empty queue shows that the run is nearly over.
        self.lookahead = len(urls)
        self._per_server = per_server
        self._patience_s = patience_s
        self._probe = probe
        self._interrupted = interrupted
        self._waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, modality: Modality) -> Iterator[Server]:
        """A slot of a server for one call, until the block ends. A `ServerFailure` inside counts against the
        server.

        Raises:
            BackboneError: every server has been failing for longer than `patience_s`, or the pool was
                interrupted.
        """
        server = self._take(modality)
        started = time.monotonic()
        failure: ServerFailure | None = None
        try:
            yield server
            with self._changed:
                server.took(modality, time.monotonic() - started)
        except ServerFailure as error:
            failure = error
            raise
        finally:
            self._release(server, failure)

    def wake(self) -> None:
        """Wake the threads that wait for a server, so that they check again."""
        with self._changed:
            self._changed.notify_all()

    def _take(self, modality: Modality) -> Server:
        while True:
            with self._changed:
                self._waiting += 1
                try:
                    server = self._await(modality)
                finally:
                    self._waiting -= 1
                server.in_flight += 1
            if server.rests_until is None:
                return server
            self._probe_resting(server)

    def _await(self, modality: Modality) -> Server:
        """A free server, or one that is due for a probe and has no call in flight."""
        while True:
            if self._interrupted.is_set():
                raise BackboneError("interrupted")
            now = time.monotonic()
            resting = [(s.rests_until, s) for s in self.servers if s.rests_until is not None]
            due = [server for until, server in resting if until <= now and not server.in_flight]
            found = self._free(modality) or next(iter(due), None)
            if found is not None:
                return found
            given_up_at = self._given_up_at()
            if given_up_at <= now:
                raise BackboneError(self._all_failing())
            ends = [until for until, _ in resting if until > now]
            # Without a known time the wait ends when a busy server finishes; an hour stands for no limit.
            self._changed.wait(min([*ends, given_up_at, now + 3600]) - now)

    def _free(self, modality: Modality) -> Server | None:
        in_service = [s for s in self.servers if s.rests_until is None]
        free = [s for s in in_service if s.in_flight < self._per_server]
        free.sort(key=lambda s: (s.seconds(modality) * (1 + s.in_flight), s.in_flight))
        sensible = (s for s in free if not self._sooner_elsewhere(s, in_service, modality))
        return next(sensible, None)

    def _sooner_elsewhere(self, slow: Server, in_service: Sequence[Server], modality: Modality) -> bool:
        """True if the faster, busy servers would finish all queued calls before `slow` finishes one.

        False if more calls wait than `lookahead`: then the engine has further calls, and every server helps.
        """
        if self._waiting > self.lookahead:
            return False
        takes_s = slow.seconds(modality)
        faster = [s.seconds(modality) for s in in_service if 0 < s.seconds(modality) < takes_s]
        return sum(self._per_server * (takes_s // s - 1) for s in faster) >= self._waiting

    def _release(self, server: Server, failure: ServerFailure | None) -> None:
        with self._changed:
            server.in_flight -= 1
            if failure is None:
                server.succeeded()
            else:
                server.failed(failure)
            self._changed.notify_all()

    def _probe_resting(self, server: Server) -> None:
        """Probe a server that was out of service: put it back into service, or take it out again."""
        reason = self._probe(server.url)
        with self._changed:
            server.in_flight -= 1
            if reason is None:
                server.rests_until = None
            else:
                server.failed(ServerFailure(BackboneError(reason), down=True))
            self._changed.notify_all()

    def _given_up_at(self) -> float:
        """The time at which all servers will have been failing for `patience_s`; infinity if one works or is
        being probed.

                A server whose last call succeeded works, even while it is out of service because of earlier
                    failures.
        """
        since = [s.failing_since for s in self.servers if s.rests_until is not None and not s.in_flight]
        failing = [start for start in since if start is not None]
        return self._patience_s + max(failing) if len(failing) == len(self.servers) else math.inf

    def _all_failing(self) -> str:
        reasons = "; ".join(f"{server.url}: {server.reason}" for server in self.servers)
        return f"every server has been failing for more than {self._patience_s:g} s: {reasons}"
