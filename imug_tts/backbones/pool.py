"""Servers of one model: which one takes the next call, and which ones are set aside.

A call goes to a free server, the fastest first. A server that cannot be reached, is overloaded or fails
again and again rests for a time that grows with every failure in a row, and must then answer a probe
before it gets a call again.
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
"""Failures in a row that may be the request's: official servers answer 500 when their model fails."""


class ServerFailure(Transient):
    """The server failed. When it is surely its own fault (`down`) it rests at once."""

    def __init__(
        self, failure: BackboneError, *, down: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(failure, retry_after_s=retry_after_s)
        self.down = down


@dataclass(eq=False)
class Server:
    """What the pool knows of one server. Times are of the monotonic clock, in seconds."""

    url: str
    in_flight: int = 0
    failures: int = 0
    """Failures in a row."""
    failing_since: float | None = None
    rests_until: float | None = None
    """None while it is in service."""
    reason: str = ""
    """Of the last failure."""
    usual_s: dict[Modality, float] = field(default_factory=dict)
    """What a call takes, the last ones weighing most."""

    def seconds(self, modality: Modality) -> float:
        """What a call is expected to take; 0 as long as nobody knows."""
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
            # Requests that nobody can answer, one after another, must not rest a sound server for long.
            steps = self.failures if failure.down else _TOLERATED + 1
            self.rests_until = now + wait_s(steps, first_s=_FIRST_REST_S, asked_s=failure.retry_after_s)


class ServerPool:
    """Lends servers to the threads that call them; safe to share between threads."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        per_server: int,
        patience_s: float,
        probe: Callable[[str], str | None],
        interrupted: threading.Event,
    ) -> None:
        """One pool for all threads.

        Args:
            per_server: calls that one server takes at a time.
            patience_s: how long every server may be failing before calls are no longer kept waiting.
            probe: says of a URL why it is out of order, or None when it answers.
            interrupted: when it is set, and `wake` is called, nobody waits for a server any longer.
        """
        self.servers = [Server(url) for url in urls]
        self.slots = per_server * len(urls)
        # Calls that wait here for a server, so that none idles while the next call is prepared, and so
        # that the last calls can be told from the first of many.
        self.lookahead = len(urls)
        self._per_server = per_server
        self._patience_s = patience_s
        self._probe = probe
        self._interrupted = interrupted
        self._waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def lend(self, modality: Modality) -> Iterator[Server]:
        """A server for one call. A `ServerFailure` raised inside counts against it.

        Raises:
            BackboneError: every server has been failing for longer than `patience_s`, or it was interrupted.
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
            self._take_back(server, failure)

    def wake(self) -> None:
        """Let those who wait for a server look again."""
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
            self._try_out(server)

    def _await(self, modality: Modality) -> Server:
        """A free server, or one whose rest is over and that nobody tries out yet."""
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
            # With no end in sight a server that is busy will tell; a wait of an hour is forever.
            self._changed.wait(min([*ends, given_up_at, now + 3600]) - now)

    def _free(self, modality: Modality) -> Server | None:
        in_service = [s for s in self.servers if s.rests_until is None]
        free = [s for s in in_service if s.in_flight < self._per_server]
        free.sort(key=lambda s: (s.seconds(modality) * (1 + s.in_flight), s.in_flight))
        sensible = (s for s in free if not self._sooner_elsewhere(s, in_service, modality))
        return next(sensible, None)

    def _sooner_elsewhere(self, slow: Server, in_service: Sequence[Server], modality: Modality) -> bool:
        """Whether the faster servers, all busy, would be done with all that waits before `slow` is with one.

        Only when no more calls wait here than may: otherwise there are more than we see, and every
        server helps.
        """
        if self._waiting > self.lookahead:
            return False
        takes_s = slow.seconds(modality)
        faster = [s.seconds(modality) for s in in_service if 0 < s.seconds(modality) < takes_s]
        return sum(self._per_server * (takes_s // s - 1) for s in faster) >= self._waiting

    def _take_back(self, server: Server, failure: ServerFailure | None) -> None:
        with self._changed:
            server.in_flight -= 1
            if failure is None:
                server.succeeded()
            else:
                server.failed(failure)
            self._changed.notify_all()

    def _try_out(self, server: Server) -> None:
        """Put a server that rested back into service, or let it rest again."""
        reason = self._probe(server.url)
        with self._changed:
            server.in_flight -= 1
            if reason is None:
                server.rests_until = None
            else:
                server.failed(ServerFailure(BackboneError(reason), down=True))
            self._changed.notify_all()

    def _given_up_at(self) -> float:
        """When all servers will have been failing for too long; infinity while any works or is tried out.

        A server whose last call succeeded works, even while it rests for the failures before.
        """
        since = [s.failing_since for s in self.servers if s.rests_until is not None and not s.in_flight]
        failing = [start for start in since if start is not None]
        return self._patience_s + max(failing) if len(failing) == len(self.servers) else math.inf

    def _all_failing(self) -> str:
        reasons = "; ".join(f"{server.url}: {server.reason}" for server in self.servers)
        return f"every server has been failing for more than {self._patience_s:g} s: {reasons}"
