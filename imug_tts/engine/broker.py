"""Batches the calls of all dialogues in flight, and answers what the journal knows.

A call waits on the broker's list; when the event loop has nothing else to do, or a batch is full,
everything that waits and can go together is handed to the backbone in a worker thread. Calls of
one history become one request with several seeds. Results are keyed by call, never by order.

For a backbone that takes one call at a time nothing has to be gathered: its calls go into the workers'
queue, where a worker that has journaled one answer finds the next call, however busy the event loop is.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

from imug_tts.contracts import Backbone, BackboneError, Candidate, Remote, Request, Sampling
from imug_tts.dialogue import Message, Modality
from imug_tts.engine.journal import Journal

__all__ = ["Answer", "Broker", "Call"]

_IDLE_TURNS = 16
"""Turns of the event loop without a new call after which no coroutine can go on by itself.

A result passes through about three turns per nested gather before the next call is made; fewer
turns would split batches, more cost some 10 us each.
"""


@dataclass(frozen=True)
class Call:
    """One candidate wanted: one seed on one history."""

    history: tuple[Message, ...]
    modality: Modality
    seed: int
    sampling: Sampling
    yes_no: bool = False

    @cached_property
    def prompt_id(self) -> str:
        """SHA-256 over the history's messages."""
        return hashlib.sha256("".join(m.digest for m in self.history).encode()).hexdigest()

    def identity(self, backbone_identity: str) -> str:
        """SHA-256 over everything that determines the candidate, model and seed included."""
        s = self.sampling
        text = (
            f"{backbone_identity}\n{self.prompt_id}\n{self.modality}\n"
            f"{s.temperature!r} {s.max_tokens}\n{self.seed}\n{self.yes_no}"
        )
        return hashlib.sha256(text.encode()).hexdigest()


class Answer(NamedTuple):
    """A candidate and the identity of the call that made it."""

    call_id: str
    candidate: Candidate
    fresh: bool
    """Whether this asking made the call; if not, the journal or a call in flight answered."""


class _Group(NamedTuple):
    """What calls of one batch have in common."""

    modality: Modality
    sampling: Sampling
    yes_no: bool


class _Generated(NamedTuple):
    results: list[list[Candidate] | BackboneError]
    seconds: float


class _Batch(NamedTuple):
    """Calls in the worker; `ids` are those of each request, in order."""

    calls: dict[str, Call]
    ids: list[list[str]]
    generated: asyncio.Future[_Generated]


class Broker:
    """Stands between the dialogues of one event loop and one backbone."""

    def __init__(self, backbone: Backbone, journal: Journal) -> None:
        self.backbone = backbone
        self._remote = backbone if isinstance(backbone, Remote) else None
        self._journal = journal
        self._max_batch = backbone.capabilities.max_batch
        self._waiting: dict[_Group, dict[str, Call]] = {}
        self._futures: dict[str, asyncio.Future[Candidate]] = {}
        self._flushers: list[asyncio.Task[None]] = []
        self._num_flushers = backbone.capabilities.concurrent_batches
        self._handed_out: set[asyncio.Future[Candidate]] = set()
        """Calls alone that are with the workers or in their queue."""
        self._stopping = False
        self._workers = ThreadPoolExecutor(self._num_flushers, thread_name_prefix="backbone")

    async def ask(self, call: Call) -> Answer:
        """Answer a call, from the journal if it was ever finished.

        Raises:
            BackboneError: the backbone failed on this call.
        """
        if call.sampling.temperature == 0:
            call = replace(call, seed=0)  # greedy: every seed is the same call
        call_id = call.identity(self.backbone.identity)
        future = self._futures.get(call_id)
        if future is None:
            known = self._journal.get(call_id)
            if known is not None:
                return Answer(call_id, known, fresh=False)
            future = self._enqueue(call_id, call)
            return Answer(call_id, await asyncio.shield(future), fresh=True)
        return Answer(call_id, await asyncio.shield(future), fresh=False)

    async def stop(self) -> None:
        """Finish and journal the batches in flight; hand out no more."""
        self._stopping = True
        self._workers.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*self._flushers, *self._handed_out, return_exceptions=True)
        for future in self._futures.values():
            future.cancel()

    def _enqueue(self, call_id: str, call: Call) -> asyncio.Future[Candidate]:
        future: asyncio.Future[Candidate] = asyncio.get_running_loop().create_future()
        self._futures[call_id] = future
        if self._max_batch == 1:
            self._hand_out_alone(call_id, call)
            return future
        group = _Group(call.modality, call.sampling, call.yes_no)
        self._waiting.setdefault(group, {})[call_id] = call
        if len(self._flushers) == self._num_flushers:
            self._flushers = [flusher for flusher in self._flushers if not flusher.done()]
        if len(self._flushers) < self._num_flushers:
            self._flushers.append(asyncio.create_task(self._flush_until_empty()))
        return future

    def _hand_out_alone(self, call_id: str, call: Call) -> None:
        if self._stopping:
            return
        loop = asyncio.get_running_loop()
        answered = loop.run_in_executor(self._workers, self._answer_alone, call_id, call)
        self._handed_out.add(answered)
        answered.add_done_callback(partial(self._finish_alone, call_id))

    def _answer_alone(self, call_id: str, call: Call) -> Candidate:
        """What a worker does with a call: its answer is journaled before its server gets another."""
        started = time.perf_counter()
        with self._answered(_request([call])) as candidate:
            candidate = _timed(candidate, time.perf_counter() - started)
            self._journal.append([(call_id, candidate)])
        return self._journal.unburdened(candidate)

    def _answered(self, request: Request) -> AbstractContextManager[Candidate]:
        if self._remote is not None:
            return self._remote.answered(request)
        [[candidate]] = self.backbone.generate([request])
        return nullcontext(candidate)

    def _finish_alone(self, call_id: str, answered: asyncio.Future[Candidate]) -> None:
        self._handed_out.discard(answered)
        if answered.cancelled():  # this broker stopped before a worker was free
            return
        try:
            candidate = answered.result()
        except Exception as error:
            self._fail([call_id], error)  # whoever waits raises it
        else:
            self._futures.pop(call_id).set_result(candidate)

    async def _flush_until_empty(self) -> None:
        """Run batch after batch; the next one is computed while results of the last are written.

        As many of these run side by side as the backbone takes batches at once.
        """
        running: _Batch | None = None
        while running is not None or not self._stopping:
            if running is None:
                await self._settle()
                running = self._start_batch()
                if running is None:
                    return
            await asyncio.wait([running.generated])
            upcoming = self._start_batch() if self._full() else None
            self._finish(running)
            running = upcoming

    async def _settle(self) -> None:
        """Return when a batch is (half) full, or no new call came for a few turns of the loop."""
        idle = 0
        seen = self._num_waiting()
        while idle < _IDLE_TURNS and not self._full():
            await asyncio.sleep(0)
            now = self._num_waiting()
            idle = idle + 1 if now == seen else 0
            seen = now

    def _num_waiting(self) -> int:
        return sum(len(calls) for calls in self._waiting.values())

    def _full(self) -> bool:
        # Half a batch in hand is better than a model that waits while results are scored and written.
        return any(2 * len(calls) >= self._max_batch for calls in self._waiting.values())

    def _start_batch(self) -> _Batch | None:
        """Hand up to `max_batch` calls of the group in which most calls wait to the worker."""
        if not self._waiting or self._stopping:
            return None
        group = max(self._waiting, key=lambda g: len(self._waiting[g]))
        waiting = self._waiting[group]
        calls = {call_id: waiting.pop(call_id) for call_id in list(waiting)[: self._max_batch]}
        if not waiting:
            del self._waiting[group]
        ids, requests = _merge(calls)
        loop = asyncio.get_running_loop()
        return _Batch(calls, ids, loop.run_in_executor(self._workers, self._generate, requests))

    def _finish(self, batch: _Batch) -> None:
        """Journal what a batch gave, before anyone can use it; then hand it out."""
        finished: dict[str, Candidate] = {}
        try:
            generated = batch.generated.result()
            seconds = generated.seconds / len(batch.calls)
            for request_ids, candidates in zip(batch.ids, generated.results, strict=True):
                if isinstance(candidates, BackboneError):
                    self._fail(request_ids, candidates)
                    continue
                for call_id, candidate in zip(request_ids, candidates, strict=True):
                    finished[call_id] = _timed(candidate, seconds)
            self._journal.append(finished.items())
        except Exception as error:
            self._fail(batch.calls, error)  # whoever waits raises it
            return
        for call_id, candidate in finished.items():
            self._futures.pop(call_id).set_result(self._journal.unburdened(candidate))

    def _generate(self, requests: Sequence[Request]) -> _Generated:
        started = time.perf_counter()
        results = self._attempt(requests)
        return _Generated(results, time.perf_counter() - started)

    def _attempt(self, requests: Sequence[Request]) -> list[list[Candidate] | BackboneError]:
        """Generate; a failing batch is halved until the requests that fail stand alone."""
        try:
            return list(self.backbone.generate(requests))
        except BackboneError as error:
            if len(requests) == 1:
                return [error]
        half = len(requests) // 2
        return self._attempt(requests[:half]) + self._attempt(requests[half:])

    def _fail(self, calls: Iterable[str], error: Exception) -> None:
        for call_id in calls:
            future = self._futures.pop(call_id, None)
            if future is not None and not future.done():
                future.set_exception(error)


def _merge(batch: dict[str, Call]) -> tuple[list[list[str]], list[Request]]:
    """One request per history: the call ids of each, and the requests, in the same order."""
    by_prompt: dict[str, list[str]] = {}
    for call_id, call in batch.items():
        by_prompt.setdefault(call.prompt_id, []).append(call_id)
    ids = list(by_prompt.values())
    return ids, [_request([batch[call_id] for call_id in request_ids]) for request_ids in ids]


def _request(calls: Sequence[Call]) -> Request:
    """Calls that differ in their seeds alone."""
    first = calls[0]
    return Request(
        history=first.history,
        modality=first.modality,
        seeds=tuple(call.seed for call in calls),
        sampling=first.sampling,
        yes_no=first.yes_no,
    )


def _timed(candidate: Candidate, seconds: float) -> Candidate:
    """The candidate with what its call took, where its backbone has not said so.

    A backbone that has servers knows better: without the wait for one.
    """
    if candidate.cost.seconds:
        return candidate
    return replace(candidate, cost=replace(candidate.cost, seconds=seconds))
