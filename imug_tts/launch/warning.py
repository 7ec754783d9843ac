"""What a job does when the queue warns it that its time is over.

SLURM and submitit warn by SIGUSR2, SIGUSR1 or SIGTERM, once or several times. The first of the two former
becomes one SIGINT, on which the engine stops asking, keeps what comes in and ends as after Ctrl-C. On SIGTERM
the engine does so by itself, and so does what comes before it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Final

from imug_tts.launch.slurm import is_left_to_the_job

__all__ = ["Warned", "go_on_later"]

_WARNINGS: Final = (signal.SIGUSR2, signal.SIGUSR1)


class Warned:
    """Listens for warnings and for SIGTERM from now on; made in the main thread.

    The first one interrupts what is done, and all others are ignored: SLURM sends SIGTERM twice and more.
    """

    def __init__(self) -> None:
        # Submitit's handler, which queues the job again; found before its signal is taken from it.
        self.requeue: Any = next((h for n in _WARNINGS if _is_requeue(h := signal.getsignal(n))), None)
        self.came = False
        self._interrupted = False
        for number in (*_WARNINGS, signal.SIGTERM):
            signal.signal(number, self._take)

    def listen_no_more(self) -> None:
        """Ignore signals that warn or end a process: the work is over, and its end is being written."""
        for number in (*_WARNINGS, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def _take(self, number: int, frame: object) -> None:
        del frame
        self.came = self.came or number != signal.SIGTERM
        if not self._interrupted:
            self._interrupted = True
            os.kill(os.getpid(), signal.SIGINT)


def go_on_later(warned: Warned, queue: str, job: str) -> bool:
    """Queue this job, which was interrupted, again if that is for the job to do; False if it is not.

    On this machine whoever sends another signal than a warning wants the job to end.

    Raises:
        Exception: submitit does not queue it again, because it has timed out too many times.
    """
    is_asked = is_left_to_the_job(job) if queue == "slurm" else warned.came
    if not is_asked or warned.requeue is None:
        return False
    try:
        warned.requeue(signal.SIGUSR2, None)
    except SystemExit as end:  # threads in calls that nobody waits for must not keep the process alive
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) and 0 <= end.code < 256 else 1)
    return True


def _is_requeue(handler: Any) -> bool:
    return getattr(handler, "__name__", "") == "checkpoint_and_try_requeue"
