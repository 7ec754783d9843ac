"""Batches the calls of all dialogues in flight, and answers what the journal knows.

A call waits in the broker's list; when the event loop has nothing else to do, or a batch is full,
everything that waits and can go together is handed to the backbone in a worker thread. Calls of
one history become one request with several seeds. Results are keyed by call, never by order.

For a backbone that takes one call at a time nothing has to be gathered: its calls go into the workers'
queue, where a worker that has journaled one answer finds the next call, however busy the event loop is.

Calls of earlier dialogues go first, so that dialogues end one after the other, and not all at the end.
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
"""Turns of the event loop without a new call after which no coroutine can go on by itself.

A result passes through about three turns per nested gather before the next call is made; fewer
turns would split batches, more cost some 10 us each.
"""
_GRACE_S: Final = 1.0
"""How long calls on servers may end by themselves when a run stops, and again once they are broken off."""
_DOWN_AFTER: Final = 32
"""Calls that fail one after the other, before any has succeeded, after which a model is down."""
_DOWN_AGAIN_AFTER: Final = 256
"""The same for a model that has answered before: some parts of a benchmark may be beyond a model."""


class Answer(NamedTuple):
    """A candidate and the identity of the call that made it."""

    call_id: str
    candidate: Candidate
    is_new: bool
    """Whether this request made the call; if not, the journal or a call in flight answered."""


class _Group(NamedTuple):
    """What calls of one batch have in common."""

    modality: Modality
    sampling: Sampling
    form: Form


class _Queued(NamedTuple):
    """A call that waits. Calls are ordered by their dialogues, then by when they were made."""

    rank: int
    number: int
    call_id: str
    call: Call


class _Generated(NamedTuple):
    results: list[Candidate | BackboneError]
    seconds: float


class _Batch(NamedTuple):
    """Calls in the worker; `ids` are in the order of the results."""

    ids: list[str]
    generated: asyncio.Future[_Generated]


class Broker:
    """Stands between the dialogues of one event loop and one backbone."""

    def __init__(self, backbone: Backbone, journal: Journal) -> None:
        self.backbone = backbone
        self._place = DEVICES.place(backbone, self._has_calls)
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
        """Single calls that are with the workers or in their queue."""
        self._stopping = False
        self._workers = ThreadPoolExecutor(self._num_flushers, thread_name_prefix="backbone")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._has_answered = False
        self._failed_in_a_row = 0
        self._down: ModelDown | None = None

    async def ask(self, call: Call, rank: int = 0) -> Answer:
        """Answer a call, from the journal if it was ever finished. Calls of a lower rank go first.

        Raises:
            BackboneError: the backbone failed on this call.
            ModelDown: the backbone has failed on every recent call.
        """
        if call.sampling.temperature == 0:
            call = replace(call, seed=0)  # greedy: every seed is the same call
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
        """Finish and journal the batches in flight; hand out no more.

        Calls on servers are waited for a second, then broken off, and left behind if they still hang.
        """
        self._stopping = True
        self._place.stop()
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
            await asyncio.wait(self._handed_out, timeout=_GRACE_S)
        for answered in list(self._handed_out):  # its worker tells nobody any more when it ends
            answered.cancel()

    def _known(self, call_id: str, call: Call) -> Candidate | None:
        """What the journal has, if it answers the call: version 0.1 journaled before it checked."""
        known = self._journal.get(call_id)
        if known is not None and known.output is not None and known.output.modality != call.modality:
            return None
        return known

    def _enqueue(self, queued: _Queued) -> asyncio.Future[Candidate]:
        if self._down is not None:
            raise self._down
        future: asyncio.Future[Candidate] = asyncio.get_running_loop().create_future()
        self._futures[queued.call_id] = future
        if self._max_batch == 1 and not self._place.local:
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
        """What a worker does: it takes the call that is next, whichever was handed out."""
        queued = self._singles.get_nowait()
        try:
            return queued.call_id, self._answer_single(queued.call_id, queued.call)
        except Exception as error:
            return queued.call_id, error

    def _answer_single(self, call_id: str, call: Call) -> Candidate:
        """Its answer is journaled before its server gets another call."""
        known = self._known(call_id, call)
        if known is not None:  # another process has made the call while it waited
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
        [result] = attempt(self.backbone, [request], self._place)
        if isinstance(result, BackboneError):
            raise result
        yield result

    def _finish_single(self, answered: asyncio.Future[tuple[str, Candidate | Exception]]) -> None:
        self._handed_out.discard(answered)
        if answered.cancelled():  # this broker stopped before a worker was free
            return
        call_id, result = answered.result()
        if isinstance(result, Exception):
            self._fail([call_id], result)  # whoever waits raises it
        else:
            self._succeed(call_id, result)

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
            await self._finish(running)
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

    def _has_calls(self) -> bool:
        """Whether calls wait or are in hand, or the last ones may bring new ones at once."""
        return bool(self._handed_out) or any(not flusher.done() for flusher in self._flushers)

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
        """Answer calls that another process has made while they waited."""
        for call_id, call in list(calls.items()):
            known = self._known(call_id, call)
            if known is not None:
                del calls[call_id]
                self._futures.pop(call_id).set_result(replace(known, is_new=False))

    async def _finish(self, batch: _Batch) -> None:
        """Journal what a batch gave, before anyone can use it; then hand it out."""
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
            self._fail(batch.ids, error)  # whoever waits raises it
            return
        for call_id, candidate in finished.items():
            self._succeed(call_id, self._journal.with_large_images_on_disk(candidate))
        for call_id, result in results.items():
            if isinstance(result, BackboneError):
                self._fail([call_id], result)

    def _generate(self, requests: Sequence[Request]) -> _Generated:
        started = time.perf_counter()
        results = attempt(self.backbone, requests, self._place)
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
        """Let whoever waits, and whoever asks later, know that the model is down."""
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
            future.exception()  # nobody may be left to wait for it, and that is no bug to warn of


def _merge(batch: dict[str, Call]) -> tuple[list[str], list[Request]]:
    """One request per history: the call ids in the order of all results, and the requests."""
    by_prompt: dict[str, list[str]] = {}
    for call_id, call in batch.items():
        by_prompt.setdefault(call.prompt_id, []).append(call_id)
    ids = [call_id for request_ids in by_prompt.values() for call_id in request_ids]
    return ids, [request_of([batch[call_id] for call_id in ids]) for ids in by_prompt.values()]


def _timed(candidate: Candidate, seconds: float) -> Candidate:
    """The candidate with what its call took, where its backbone has not said so.

    A backbone that has servers knows better: without the wait for one.
    """
    if candidate.cost.seconds:
        return candidate
    return replace(candidate, cost=replace(candidate.cost, seconds=seconds))
