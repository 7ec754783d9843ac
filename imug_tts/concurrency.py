"""Waiting for several things at once, so that the result does not depend on which ends first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from imug_tts.contracts import OutOfBudget

__all__ = ["gather_all"]

T = TypeVar("T")


async def gather_all(awaitables: Iterable[Awaitable[T]]) -> list[T | OutOfBudget]:
    """Run all to their end; result i is the `OutOfBudget` that awaitable i raised, if it did.

    Unlike `asyncio.gather`, nothing is left running behind an error, where it would go on to spend
    the turn's budget.

    Raises:
        Exception: what the first awaitable (by index) raised, other than `OutOfBudget`.
    """
    waited_for = list(awaitables)
    if len(waited_for) == 1:  # a task of its own would cost more than a small score
        try:
            return [await waited_for[0]]
        except OutOfBudget as error:
            return [error]
    results = await asyncio.gather(*waited_for, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, OutOfBudget):
            raise result
    return [r for r in results if isinstance(r, OutOfBudget) or not isinstance(r, BaseException)]
