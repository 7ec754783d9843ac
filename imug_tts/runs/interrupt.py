"""Handling of SIGINT (Ctrl-C) and SIGTERM, by which users and queues stop an invocation."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

__all__ = ["Interrupt", "stop_signals"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SILENT_S: Final = 2.5
"""Stopping prints a message only if it takes longer than this."""
_STOPPING: Final = "stopping: calls in flight are finished and journaled (again to stop at once)"


@dataclass
class Interrupt:
    """Whether the invocation was requested to stop."""

    requested: bool = False


@contextmanager
def stop_signals(workers: Sequence[asyncio.Task[None]]) -> Iterator[Interrupt]:
    """Cancel the workers at the first SIGINT or SIGTERM; end the process at the second SIGINT.

    A repeated SIGTERM has no effect, because cluster queues send it several times. After the block, SIGTERM
    is handled as before. Outside the main thread, no signal handler is installed.
    """
    interrupt = Interrupt()

    def stop(number: int) -> None:
        counts[number] += 1
        if counts[signal.SIGINT] > 1:
            _say("stopped at once; calls in the journal are safe")
            os._exit(130)
        if interrupt.requested:
            return
        interrupt.requested = True
        said.append(loop.call_later(_SILENT_S, _say, _STOPPING))
        for worker in workers:
            worker.cancel()

    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    loop = asyncio.get_running_loop()
    said: list[asyncio.TimerHandle] = []
    counts: Counter[int] = Counter()
    before = signal.getsignal(signal.SIGTERM)
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield interrupt
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        for timer in said:
            timer.cancel()


def _say(text: str) -> None:
    with suppress(OSError):  # standard error may be closed
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
