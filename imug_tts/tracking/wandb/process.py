"""The process that talks to wandb, as the study sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any, Final, NoReturn

from imug_tts.wandb_home import environment

__all__ = ["WriterProcess"]

_PROGRAM: Final = Path(__file__).with_name("writer.py")
_GRACE_S: Final = 5
"""Seconds that the process has to end after it stopped itself."""
_PARTS: Final = 2
"""The process stops itself after so many times its patience."""


class WriterProcess:
    """Messages go to the process in order, from a thread of their own: whoever sends one never waits.

    The process begins with the first message, so that a study with nothing left to tell takes no time.
    """

    def __init__(self, folder: Path, patience_s: int, tell: Callable[[str], None]) -> None:
        """wandb's caches and data go into `folder`, which is made.

        `tell` is given what a user should know.
        """
        self.has_failed = False
        """Whether something of what was sent may be lost."""
        self._folder = folder
        self._patience_s = patience_s
        self._tell = tell
        self._said = _Said()
        self._messages: SimpleQueue[bytes | None] = SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a message.

        Raises:
            RuntimeError: the process has failed; says why.
        """
        if self._process is None:
            self._process = self._begin()
        self._said.pass_on(self._tell)
        if self._said.failure or self._process.poll() is not None:
            self._fail()
        self._messages.put(json.dumps(message, default=str).encode() + b"\n")

    def close(self) -> None:
        """Wait until everything is written and uploaded, for no longer than twice the patience for it.

        Raises:
            RuntimeError: the process has failed; says why.
        """
        process, self._process = self._process, None
        if process is None:
            return
        self._messages.put(None)
        try:
            code = process.wait(_PARTS * self._patience_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._said.end()
        self._said.pass_on(self._tell)
        self.has_failed = code != 0
        if self._said.failure or code < 0:
            self._fail()

    def _begin(self) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), str(self._patience_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment(self._folder)},
            start_new_session=True,  # a Ctrl-C is for the study; the process ends with its input
        )
        assert process.stdin is not None
        self._said.begin(process)
        Thread(target=_pass_on, args=(self._messages, process.stdin), daemon=True).start()
        return process

    def _fail(self) -> NoReturn:
        self.has_failed = True
        self._process = None
        self._messages.put(None)
        if not self._said.failure:
            self._said.end()
        stopped = f"wandb did not end within {_PARTS * self._patience_s} s and was stopped; {self._kept()}"
        raise RuntimeError(self._said.failure or stopped)

    def _kept(self) -> str:
        return f"what it wrote is kept, and sent with: wandb sync --include-online {self._folder}"


class _Said:
    """What the process says, read while it runs."""

    def __init__(self) -> None:
        self.failure = ""
        """Why it failed."""
        self._notes: SimpleQueue[str] = SimpleQueue()
        self._thread = Thread()

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        self._thread = Thread(target=self._read, args=(process,), daemon=True)
        self._thread.start()

    def pass_on(self, tell: Callable[[str], None]) -> None:
        """Tell what nobody was told yet."""
        while not self._notes.empty():
            tell(self._notes.get())

    def end(self) -> None:
        """Wait until everything that a process said before its end is read."""
        self._thread.join(_GRACE_S)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as pipe:
            for line in pipe:
                [(kind, text)] = json.loads(line).items()
                if kind == "failure":
                    self.failure = text
                else:
                    self._notes.put(text)
        process.wait()  # nobody else does, once it has failed


def _pass_on(messages: SimpleQueue[bytes | None], pipe: IO[bytes]) -> None:
    """Write messages until the end, which is None, or until nobody reads them."""
    try:
        with pipe:
            while (message := messages.get()) is not None:
                pipe.write(message)
                pipe.flush()
    except (BrokenPipeError, ValueError):
        pass  # the process has ended, and whoever sends the next message is told why
