"""The parent's side of the process that talks to wandb."""

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
"""Seconds that the process has to exit after its own time limit."""
_PARTS: Final = 2
"""The time limit of the process at the end, in multiples of its patience."""


class WriterProcess:
    """Sends messages to the writer process in order, from a separate thread, so that `send` never waits.

    The process starts with the first message, so that a study with nothing to log costs no time.
    """

    def __init__(
        self, folder: Path, patience_s: int, tell: Callable[[str], None], *, is_online: bool = False
    ) -> None:
        """Create a writer.

        Args:
            folder: will hold wandb's caches and data.
            patience_s: seconds that wandb may take for the requests at the end, and again for uploads.
            tell: gets messages for the user.
            is_online: whether a server is to be waited for at the end.
        """
        self.has_failed = False
        """Whether some sent messages may be lost."""
        self._folder = folder
        self._patience_s = patience_s
        self._tell = tell
        self._is_online = is_online
        self._output = _OutputReader()
        self._messages: SimpleQueue[bytes | None] = SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a message to the process.

        Raises:
            RuntimeError: the process has failed; says why.
        """
        if self._process is None:
            self._process = self._begin()
        self._output.pass_on(self._tell)
        if self._output.failure or self._process.poll() is not None:
            self._fail()
        self._messages.put(json.dumps(message, default=str).encode() + b"\n")

    def close(self) -> None:
        """Wait until everything is written and uploaded, at most twice `patience_s`.

        Raises:
            RuntimeError: the process has failed; says why.
        """
        process, self._process = self._process, None
        if process is None:
            return
        self._messages.put(None)
        if self._is_online:
            self._tell(
                f"sending what is left to the server, for at most {_PARTS * self._patience_s} s "
                "(tracking.wandb.patience_s); all results are in the folder of the study already"
            )
        try:
            code = process.wait(_PARTS * self._patience_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._output.end()
        self._output.pass_on(self._tell)
        self.has_failed = code != 0
        if self._output.failure or code < 0:
            self._fail()

    def _begin(self) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), str(self._patience_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment(self._folder)},
            start_new_session=True,  # Ctrl-C must reach the study only; the process ends with its input
        )
        assert process.stdin is not None
        self._output.begin(process)
        Thread(target=_pass_on, args=(self._messages, process.stdin), daemon=True).start()
        return process

    def _fail(self) -> NoReturn:
        self.has_failed = True
        self._process = None
        self._messages.put(None)
        if not self._output.failure:
            self._output.end()
        stopped = f"wandb did not end within {_PARTS * self._patience_s} s and was stopped; {self._kept()}"
        raise RuntimeError(self._output.failure or stopped)

    def _kept(self) -> str:
        return f"what it wrote is kept, and sent with: wandb sync --include-online {self._folder}"


class _OutputReader:
    """Reads the standard output of the process while it runs."""

    def __init__(self) -> None:
        self.failure = ""
        """Why the process failed; empty if it did not."""
        self._notes: SimpleQueue[str] = SimpleQueue()
        self._thread = Thread()

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        self._thread = Thread(target=self._read, args=(process,), daemon=True)
        self._thread.start()

    def pass_on(self, tell: Callable[[str], None]) -> None:
        """Pass new notes to `tell`."""
        while not self._notes.empty():
            tell(self._notes.get())

    def end(self) -> None:
        """Wait until the output up to the exit of the process is read."""
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
        process.wait()  # reaps the process; after a failure nothing else waits for it


def _pass_on(messages: SimpleQueue[bytes | None], pipe: IO[bytes]) -> None:
    """Write messages to the process until None, or until the process closes its input."""
    try:
        with pipe:
            while (message := messages.get()) is not None:
                pipe.write(message)
                pipe.flush()
    except (BrokenPipeError, ValueError):
        pass  # the process has ended; the next call of `send` raises the reason
