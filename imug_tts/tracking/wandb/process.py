"""The process that talks to wandb, as the study sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any, Final, NoReturn

__all__ = ["WriterProcess"]

_PROGRAM: Final = Path(__file__).with_name("writer.py")
_GRACE_S: Final = 5
"""Seconds that the process has to end after it stopped itself."""


class WriterProcess:
    """Messages go to the process in order, from a thread of their own: whoever sends one never waits.

    The process begins with the first message, so that a study with nothing left to tell takes no time.
    """

    def __init__(self, folder: Path, patience_s: int) -> None:
        """wandb's caches and data go into `folder`, which is made."""
        self._folder = folder
        self._patience_s = patience_s
        self._messages: SimpleQueue[bytes | None] = SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a message.

        Raises:
            RuntimeError: the process has failed; says why.
        """
        if self._process is None:
            self._process = self._begin()
        if self._process.poll() is not None:
            self._fail(self._process)
        self._messages.put(json.dumps(message, default=str).encode() + b"\n")

    def close(self) -> None:
        """Wait until everything is written and uploaded, for no longer than the process has patience.

        Raises:
            RuntimeError: the process has failed; says why.
        """
        process, self._process = self._process, None
        if process is None:
            return
        self._messages.put(None)
        try:
            code = process.wait(self._patience_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code:
            self._fail(process)
        _said(process)

    def _begin(self) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), str(self._patience_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_places(self._folder)},
            start_new_session=True,  # a Ctrl-C is for the study; the process ends with its input
        )
        assert process.stdin is not None
        Thread(target=_pass_on, args=(self._messages, process.stdin), daemon=True).start()
        return process

    def _fail(self, process: subprocess.Popen[bytes]) -> NoReturn:
        self._process = None
        self._messages.put(None)
        raise RuntimeError(_said(process) or f"wandb did not end within {self._patience_s} s and was stopped")


def _said(process: subprocess.Popen[bytes]) -> str:
    """What a process that has ended said of its failure."""
    assert process.stdout is not None
    with process.stdout as said:
        return said.read().decode(errors="replace").strip()


def _pass_on(messages: SimpleQueue[bytes | None], pipe: IO[bytes]) -> None:
    """Write messages until the end, which is None, or until nobody reads them."""
    try:
        with pipe:
            while (message := messages.get()) is not None:
                pipe.write(message)
                pipe.flush()
    except (BrokenPipeError, ValueError):
        pass  # the process has ended, and whoever sends the next message is told why


def _places(folder: Path) -> dict[str, str]:
    """Variables that keep wandb inside a folder, and errors of wandb on this machine."""
    names = {"WANDB_CACHE_DIR": "cache", "WANDB_DATA_DIR": "data", "WANDB_ARTIFACT_DIR": "artifacts"}
    return {name: str(folder / below) for name, below in names.items()} | {"WANDB_ERROR_REPORTING": "false"}
