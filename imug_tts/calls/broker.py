"""Batches the calls of all dialogues in flight to one backbone, and answers calls from the journal.

A call waits in the broker's list. When the event loop is idle, or a batch is full, the waiting calls of one
kind are passed to the backbone in a worker thread. Calls with one history become one request with several
seeds. Results are matched by call identity, never by order.

A backbone that takes one call at a time needs no batching: its calls go into the workers' queue. A worker
that has journaled one answer takes the next call from there without waiting for the event loop.

Calls of dialogues with a lower rank go first, so that dialogues finish one after the other.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from queue import PriorityQueue
from typing import Final, NamedTuple

from imug_tts.calls.attempts import attempt, check_candidate
from imug_tts.calls.call import Call, request_of
from imug_tts.calls.devices import DEVICES
from imug_tts.calls.journal import Journal
from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Candidate,
    Form,
    ModelDown,
    Remote,
    Request,
    Sampling,
)
from imug_tts.dialogue import Modality
from imug_tts.registry import model_identity

__all__ = ["Answer", "Broker"]

_IDLE_TURNS: Final = 16
"""Iterations of the event loop without a new call after which a batch is started although it is not full.

A result takes about three iterations per nested gather before the next call is made. Fewer iterations would
split batches; each additional one costs about 10 us."""
_GRACE_S: Final = 1.0
"""Seconds that calls on servers get to finish when a run stops, before they are interrupted."""
_INTERRUPTED_S: Final = 2.0
"""Seconds that interrupted calls get to fail, as `Remote.interrupt` promises."""
_DOWN_AFTER: Final = 32
"""Consecutive failed calls, if none has succeeded yet, after which a model counts as down."""
_DOWN_AGAIN_AFTER: Final = 256
"""Consecutive failed calls after a first success: some parts of a benchmark may be beyond a model."""


class Answer(NamedTuple):
    """A candidate and the identity of its call."""

    call_id: str
    candidate: Candidate
    is_new: bool
    """Whether this `ask` made the call; False if the journal or a call in flight answered."""


class _Group(NamedTuple):
    """The modality, sampling and form that all calls of one batch share."""

    modality: Modality
    sampling: Sampling
    form: Form


class _Queued(NamedTuple):
    """A waiting call. Calls are ordered by the rank of their dialogue, then by the time of `ask`."""

    rank: int
    number: int
    call_id: str
    call: Call


class _Generated(NamedTuple):
    results: list[Candidate | BackboneError]
    seconds: float


class _Batch(NamedTuple):
    """Calls in a worker; `ids` are in the order of the results."""

    ids: list[str]
    generated: asyncio.Future[_Generated]


class Broker:
    """Answers calls to one backbone for all dialogues of one event loop."""

    def __init__(self, backbone: Backbone, journal: Journal) -> None:
        self.backbone = backbone
        self._claim = DEVICES.claim(backbone, self._has_calls)
        self._identity = model_identity(backbone)
        self._remote = backbone if isinstance(backbone, Remote) else None
        self._journal = journal
        self._max_batch = backbone.capabilities.max_batch
        self._waiting: dict[_Group, dict[str, _Queued]] = {}
        self._singles: PriorityQueue[_Queued] = PriorityQueue()
        self._numbers = count()
        self._futures: dict[str, asyncio.Future[Candidate]] = {}
        self._flushers: list[asyncio.Task[None]] = []
        self._num_flushers = backbone.capabilities.concurrent_batches
        self._handed_out: set[asyncio.Future[tuple[str, Candidate | Exception]]] = set()
        """Single calls that a worker has, or that wait in the workers' queue."""
        self._stopping = False
        self._workers = ThreadPoolExecutor(self._num_flushers, thread_name_prefix="backbone")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._has_answered = False
        self._failed_in_a_row = 0
        self._down: ModelDown | None = None

    async def ask(self, call: Call, rank: int = 0) -> Answer:
        """Return the answer to a call, from the journal if an invocation has completed it before.

        Calls with a lower `rank` go first.

        Raises:
            BackboneError: the backbone failed on this call.
            ModelDown: the backbone has failed on every recent call.
        """
        if call.sampling.temperature == 0:
            call = replace(call, seed=0)  # greedy: the seed has no effect
        call_id = call.identity(self._identity)
        future = self._futures.get(call_id)
        if future is None:
            known = self._known(call_id, call)
            if known is not None:
                return Answer(call_id, known, is_new=False)
            future = self._enqueue(_Queued(rank, next(self._numbers), call_id, call))
            candidate = await asyncio.shield(future)
            return Answer(call_id, candidate, is_new=candidate.is_new)
        return Answer(call_id, await asyncio.shield(future), is_new=False)

    async def stop(self) -> None:
        """Finish and journal the batches in flight, and start no others.

        Calls on servers get a second to finish, then they are interrupted; calls that hang even then are
        abandoned.
        """
        self._stopping = True
        self._claim.stop()
        self._workers.shutdown(wait=False, cancel_futures=True)
        if self._remote is None:
            await asyncio.gather(*self._flushers, *self._handed_out, return_exceptions=True)
        else:
            await self._break_off(self._remote)
        for future in self._futures.values():
            future.cancel()
        self._writer.shutdown(wait=True)

    async def _break_off(self, remote: Remote) -> None:
        if self._handed_out:
            await asyncio.wait(self._handed_out, timeout=_GRACE_S)
        if self._handed_out:
            remote.interrupt()
            await asyncio.wait(self._handed_out, timeout=_INTERRUPTED_S)
            remote.resume()
        for answered in list(self._handed_out):  # nobody waits for these workers any more
            answered.cancel()

    def _known(self, call_id: str, call: Call) -> Candidate | None:
        """Return the journaled candidate of a call, or None. Version 0.1 journaled unchecked modalities."""
        known = self._journal.get(call_id)
        if known is not None and known.output is not None and known.output.modality != call.modality:
            return None
        return known

    def _enqueue(self, queued: _Queued) -> asyncio.Future[Candidate]:
        if self._down is not None:
            raise self._down
        future: asyncio.Future[Candidate] = asyncio.get_running_loop().create_future()
        self._futures[queued.call_id] = future
        if self._max_batch == 1 and not self._claim.local:
            self._hand_out(queued)
            return future
        call = queued.call
        group = _Group(call.modality, call.sampling, call.form)
        self._waiting.setdefault(group, {})[queued.call_id] = queued
        if len(self._flushers) == self._num_flushers:
            self._flushers = [flusher for flusher in self._flushers if not flusher.done()]
        if len(self._flushers) < self._num_flushers:
            self._flushers.append(asyncio.create_task(self._flush_until_empty()))
        return future

    def _hand_out(self, queued: _Queued) -> None:
        if self._stopping:
            return
        self._singles.put(queued)
        answered = asyncio.get_running_loop().run_in_executor(self._workers, self._answer_next)
        self._handed_out.add(answered)
        answered.add_done_callback(self._finish_single)

    def _answer_next(self) -> tuple[str, Candidate | Exception]:
        """Take the next call of the queue in a worker; return its identity and candidate or error."""
        queued = self._singles.get_nowait()
        try:
            return queued.call_id, self._answer_single(queued.call_id, queued.call)
        except Exception as error:
            return queued.call_id, error

    def _answer_single(self, call_id: str, call: Call) -> Candidate:
        """Return the candidate of one call, journaled before the server gets its next call."""
        known = self._known(call_id, call)
        if known is not None:  # another process has journaled the call while it waited
            return replace(known, is_new=False)
        started = time.perf_counter()
        request = request_of([call])
        with self._answered(request) as candidate:
            check_candidate(request, candidate)
            candidate = _timed(candidate, time.perf_counter() - started)
            self._journal.append([(call_id, candidate)])
        return self._journal.with_large_images_on_disk(candidate)

    @contextmanager
    def _answered(self, request: Request) -> Iterator[Candidate]:
        if self._remote is not None:
            with self._remote.answered(request) as candidate:
                yield candidate
            return
        [result] = attempt(self.backbone, [request], self._claim)
        if isinstance(result, BackboneError):
            raise result
        yield result

    def _finish_single(self, answered: asyncio.Future[tuple[str, Candidate | Exception]]) -> None:
        self._handed_out.discard(answered)
        if answered.cancelled():  # this broker stopped before a worker was free
            return
        call_id, result = answered.result()
        if isinstance(result, Exception):
            self._fail([call_id], result)  # raised by the coroutine that awaits the call
        else:
            self._succeed(call_id, result)

    async def _flush_until_empty(self) -> None:
        """Run batch after batch; the next one is computed while results of the last are written.

        The broker runs as many of these tasks as the backbone takes batches at once.
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
            await self._finish(running)
            running = upcoming

    async def _settle(self) -> None:
        """Return when a batch is half full, or no call arrived during `_IDLE_TURNS` loop iterations."""
        idle = 0
        seen = self._num_waiting()
        while idle < _IDLE_TURNS and not self._full():
            await asyncio.sleep(0)
            now = self._num_waiting()
            idle = idle + 1 if now == seen else 0
            seen = now

    def _has_calls(self) -> bool:
        """Return whether calls wait or are in flight, or coroutines may still make calls at once."""
        return bool(self._handed_out) or any(not flusher.done() for flusher in self._flushers)

    def _num_waiting(self) -> int:
        return sum(len(calls) for calls in self._waiting.values())

    def _full(self) -> bool:
        # A half-full batch now is faster than a model that idles while results are scored and written.
        return any(2 * len(calls) >= self._max_batch for calls in self._waiting.values())

    def _start_batch(self) -> _Batch | None:
        """Pass up to `max_batch` calls of the largest group to a worker; None if no call waits."""
        if not self._waiting or self._stopping:
            return None
        group = max(self._waiting, key=lambda g: len(self._waiting[g]))
        waiting = self._waiting[group]
        first = heapq.nsmallest(self._max_batch, waiting.values())
        calls = {queued.call_id: waiting.pop(queued.call_id).call for queued in first}
        if not waiting:
            del self._waiting[group]
        self._leave_out_known(calls)
        if not calls:
            return self._start_batch()
        ids, requests = _merge(calls)
        loop = asyncio.get_running_loop()
        return _Batch(ids, loop.run_in_executor(self._workers, self._generate, requests))

    def _leave_out_known(self, calls: dict[str, Call]) -> None:
        """Remove the calls that another process has journaled while they waited, and answer them."""
        for call_id, call in list(calls.items()):
            known = self._known(call_id, call)
            if known is not None:
                del calls[call_id]
                self._futures.pop(call_id).set_result(replace(known, is_new=False))

    async def _finish(self, batch: _Batch) -> None:
        """Journal the candidates of a batch, then deliver them to the waiting coroutines."""
        loop = asyncio.get_running_loop()
        try:
            generated = batch.generated.result()
            results = dict(zip(batch.ids, generated.results, strict=True))
            seconds = generated.seconds / len(batch.ids)
            finished = {
                call_id: _timed(result, seconds)
                for call_id, result in results.items()
                if isinstance(result, Candidate)
            }
            await loop.run_in_executor(self._writer, self._journal.append, list(finished.items()))
        except Exception as error:
            self._fail(batch.ids, error)  # raised by the coroutines that await the calls
            return
        for call_id, candidate in finished.items():
            self._succeed(call_id, self._journal.with_large_images_on_disk(candidate))
        for call_id, result in results.items():
            if isinstance(result, BackboneError):
                self._fail([call_id], result)

    def _generate(self, requests: Sequence[Request]) -> _Generated:
        started = time.perf_counter()
        results = attempt(self.backbone, requests, self._claim)
        return _Generated(results, time.perf_counter() - started)

    def _succeed(self, call_id: str, candidate: Candidate) -> None:
        self._has_answered, self._failed_in_a_row = True, 0
        self._futures.pop(call_id).set_result(candidate)

    def _fail(self, calls: Iterable[str], error: Exception) -> None:
        for call_id in calls:
            self._failed_in_a_row += 1
            self._raise(call_id, error)
        if self._failed_in_a_row >= (_DOWN_AGAIN_AFTER if self._has_answered else _DOWN_AFTER):
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Raise ModelDown in all waiting coroutines, and from every later `ask`."""
        self._down = ModelDown(
            f"{self._identity}: {self._failed_in_a_row} calls failed one after the other, so the run "
            f"stops; the last one: {error}"
        )
        self._down.__cause__ = error
        self._waiting.clear()
        for call_id in list(self._futures):
            self._raise(call_id, self._down)

    def _raise(self, call_id: str, error: Exception) -> None:
        future = self._futures.pop(call_id, None)
        if future is not None and not future.done():
            future.set_exception(error)
            future.exception()  # marks it as retrieved: asyncio would warn if no coroutine awaits it


def _merge(batch: dict[str, Call]) -> tuple[list[str], list[Request]]:
    """Return one request per history, and the call ids in the order of all results."""
    by_prompt: dict[str, list[str]] = {}
    for call_id, call in batch.items():
        by_prompt.setdefault(call.prompt_id, []).append(call_id)
    ids = [call_id for request_ids in by_prompt.values() for call_id in request_ids]
    return ids, [request_of([batch[call_id] for call_id in ids]) for ids in by_prompt.values()]


def _timed(candidate: Candidate, seconds: float) -> Candidate:
    """Return the candidate with the seconds of its call, unless the backbone has measured them.

    A backbone with servers measures without the wait for a free server.
    """
    if candidate.cost.seconds or candidate.shared_cost.seconds:
        return candidate
    return replace(candidate, cost=replace(candidate.cost, seconds=seconds))
