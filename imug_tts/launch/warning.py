"""Handling of the signals by which a queue warns a job of its time limit.

SLURM and submitit warn by SIGUSR2, SIGUSR1 or SIGTERM, once or several times. The first SIGUSR2 or SIGUSR1 is
converted into one SIGINT: the engine makes no further calls, journals the calls in flight, and exits as after
Ctrl-C. The engine handles SIGTERM itself, and so does the code that runs before the engine.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Final

from imug_tts.launch.slurm import must_requeue_itself

__all__ = ["QueueSignals", "requeue_if_due"]

_WARNINGS: Final = (signal.SIGUSR2, signal.SIGUSR1)


class QueueSignals:
    """Handles warning signals and SIGTERM in the main thread, from its creation on.

    The first signal interrupts the work; later ones are ignored, because SLURM sends SIGTERM several times.
    """

    def __init__(self) -> None:
        # Submitit's handler, which requeues the job; looked up before the handlers are replaced.
        self.requeue: Any = next((h for n in _WARNINGS if _is_requeue(h := signal.getsignal(n))), None)
        self.warned = False
        self._interrupted = False
        for number in (*_WARNINGS, signal.SIGTERM):
            signal.signal(number, self._take)

    def ignore(self) -> None:
        """Ignore all further signals, because the work has ended and only its state is still written."""
        for number in (*_WARNINGS, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def _take(self, number: int, frame: object) -> None:
        del frame
        self.warned = self.warned or number != signal.SIGTERM
        if not self._interrupted:
            self._interrupted = True
            os.kill(os.getpid(), signal.SIGINT)


def requeue_if_due(signals: QueueSignals, queue: str, job: str) -> bool:
    """Requeue this interrupted job if the job itself must do that; return whether it did.

    A job on this machine is requeued only after a warning; any other signal means that the job shall end.

    Raises:
        Exception: submitit does not requeue the job, because it has timed out too many times.
    """
    is_asked = must_requeue_itself(job) if queue == "slurm" else signals.warned
    if not is_asked or signals.requeue is None:
        return False
    try:
        signals.requeue(signal.SIGUSR2, None)
    except SystemExit as end:  # threads of abandoned calls must not keep the process alive
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) and 0 <= end.code < 256 else 1)
    return True


def _is_requeue(handler: Any) -> bool:
    return getattr(handler, "__name__", "") == "checkpoint_and_try_requeue"
