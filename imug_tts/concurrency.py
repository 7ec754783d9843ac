"""Waits for several coroutines, with results that do not depend on which of them ends first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from imug_tts.contracts import OutOfBudget

__all__ = ["gather_all", "run_blocking"]

T = TypeVar("T")


async def gather_all(awaitables: Iterable[Awaitable[T]]) -> list[T | OutOfBudget]:
    """Run all awaitables to their end; return the value, or the `OutOfBudget` exception, of each.

    Unlike `asyncio.gather`, no awaitable is still running after an error, where it could spend the turn's
    budget.

    Raises:
        Exception: the first exception, by index, other than `OutOfBudget`.
    """
    waited_for = list(awaitables)
    if len(waited_for) == 1:  # creating a task would take longer than computing a small score
        try:
            return [await waited_for[0]]
        except OutOfBudget as error:
            return [error]
    results = await asyncio.gather(*waited_for, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, OutOfBudget):
            raise result
    return [r for r in results if isinstance(r, OutOfBudget) or not isinstance(r, BaseException)]


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result; in another thread if an event loop runs, as in notebooks.

    In another thread, an interrupt (a notebook's stop button) cancels the coroutine and waits for its end.

    Raises:
        KeyboardInterrupt: interrupted, and the coroutine did not end with a result of its own.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    started: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = SimpleQueue()

    async def cancellable() -> T:
        task: asyncio.Task[T] | None = asyncio.current_task()
        assert task is not None
        started.put((asyncio.get_running_loop(), task))
        return await work

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, cancellable())
        try:
            return running.result()
        except KeyboardInterrupt:
            loop, task = started.get()
            with suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
        try:
            return running.result()
        except CancelledError:
            raise KeyboardInterrupt from None
