"""The process that talks to wandb. It reads one JSON message per line, and exits when its input closes.

It runs as a script and imports only `wandb_home` of this package, so that it starts fast. Messages for the
user go to standard output, one per line. The exit code is 0 if everything is uploaded, or kept on this
machine and reported; 1 if something failed.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from threading import Thread
from typing import Any, Final

from imug_tts.wandb_home import refused_uploads

_LEAST_FREE: Final = 1 << 20
"""Free bytes below which a disk counts as full: wandb does not report failed writes."""
_BEGIN_S: Final = 90
"""Most seconds to wait for a server when a run begins."""
_SHARE: Final = 3
"""A run that cannot begin takes 1/_SHARE of the patience, so that the other runs can still begin."""
_SERVICE: Final = "WANDB_SERVICE"
"""Variable by which wandb makes a child process share its parent's service."""
_PARTS: Final = 2
"""The end takes at most this many times the patience: once for requests, and once for uploads."""
_LATE: Final = "did not take everything in time"


def main() -> int:
    """Process the messages of standard input; return the exit code."""
    output = _Output()
    patience_s = int(sys.argv[1])
    try:
        writer = _Writer(patience_s, output)
        for line in sys.stdin:
            writer.take(json.loads(line))
        signal.alarm(_PARTS * patience_s + 1)  # ends this process, whatever wandb waits for
        return 0 if writer.close(time.monotonic() + _PARTS * patience_s) else 1
    except Exception as error:
        signal.alarm(patience_s)
        output.say("failure", _named(error))
        output.end()
        return 1


class _Output:
    """The original standard output of this process; wandb's own prints are discarded."""

    def __init__(self) -> None:
        self.said = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # wandb also prints to it

    def say(self, kind: str, text: str) -> None:
        """Write a "note", or the "failure" that ends this process."""
        line = " ".join(text.split())[:1000]
        os.write(self.said, f"{json.dumps({kind: line})}\n".encode())

    def end(self) -> None:
        os.close(self.said)


class _Writer:
    def __init__(self, patience_s: int, output: _Output) -> None:
        import wandb

        self._wandb = wandb
        self._output = output
        self._patience_s = patience_s
        self._limits: dict[str, Any] = {
            "init_timeout": max(1, min(_BEGIN_S, patience_s // _SHARE)),
            "finish_timeout": patience_s,
            "finish_timeout_raises": True,
            # wandb names folders by the second, and several processes may begin a run in one second
            "x_sync_dir_suffix": f"{os.uname().nodename}-{os.getpid()}",
        }
        self._runs: dict[str, Any] = {}
        self._finishing: list[_FinishingRun] = []
        self._offline: _OfflineWriter | None = None
        """The process for runs that could not begin on the server, and for all later runs."""
        self._px = 0
        self._folder = ""

    def take(self, message: dict[str, Any]) -> None:
        what, run = message["do"], message["run"]
        if what == "open":
            self._open(run, message)
        elif run not in self._runs:
            self._pass_on(message)
        elif what == "row":
            self._runs[run].log(message["row"], step=message["step"])
        else:
            ended = self._runs.pop(run)
            self._finishing.append(_FinishingRun(lambda: self._end(ended, message)))

    def close(self, deadline: float) -> bool:
        """End the runs that have not ended; return whether everything is uploaded or kept."""
        self._finishing += [_FinishingRun(partial(_finish, run)) for run in self._runs.values()]
        if self._offline is not None:
            self._offline.close(deadline)
        for finishing in self._finishing:
            finishing.wait(deadline)
        unsent = [finishing for finishing in self._finishing if not finishing.is_sent]
        if not unsent:
            return True
        for reason in dict.fromkeys(finishing.reason for finishing in unsent):
            if self._offline is None or reason != _LATE:
                self._output.say(
                    "note",
                    f"the server {reason}; {self._kept()}, and run the study again to send its dialogues "
                    "and records",
                )
        if any(finishing.is_running for finishing in self._finishing):
            os._exit(1)  # a normal exit would wait for the server once more
        return False

    def _open(self, name: str, message: dict[str, Any]) -> None:
        init = message["init"]
        self._px, self._folder = message["px"], init["dir"]
        if self._offline is None:
            try:
                self._runs[name] = self._begin(message)
                return
            except Exception as error:  # wandb's exceptions have no common base class
                if init["mode"] == "offline":
                    raise
                self._output.say(
                    "note", f"no run could begin on the server ({_named(error)}); {self._kept()}"
                )
        self._pass_on({**message, "init": {**init, "mode": "offline"}})

    def _begin(self, message: dict[str, Any]) -> Any:
        settings = self._wandb.Settings(**message["settings"], **self._limits)
        run = self._wandb.init(**message["init"], resume="allow", reinit="create_new", settings=settings)
        run.define_metric(message["x"])
        run.define_metric("*", step_metric=message["x"], step_sync=False)
        return run

    def _pass_on(self, message: dict[str, Any]) -> None:
        if self._offline is None:
            self._offline = _OfflineWriter(self._patience_s, self._output)
        self._offline.take(message)

    def _kept(self) -> str:
        folder = Path(self._folder, "wandb")
        return f"missing data is kept here; upload it later with: wandb sync --include-online {folder}"

    def _end(self, run: Any, message: dict[str, Any]) -> None:
        _check_disk(self._folder)
        run.summary.update(message["summary"])
        try:
            self._show(run, message)
        finally:
            _finish(run)  # keeps what was logged before a failure
        _check_disk(self._folder)

    def _show(self, run: Any, message: dict[str, Any]) -> None:
        run.log(self._shown(message), step=message["step"])
        if message["files"]:
            artifact = self._wandb.Artifact(message["artifact"], type="records")
            for path in message["files"]:
                artifact.add_file(path, skip_cache=True)
            run.log_artifact(artifact)

    def _shown(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the sampled dialogues as a table and as image panels."""
        if not message["rows"]:
            return {}
        image = cache(lambda path: self._image(path, None))  # answer and candidate are often the same image
        rows: list[Any] = [
            [image(cell["image"]) if isinstance(cell, dict) else cell for cell in row]
            for row in message["rows"]
        ]
        table = self._wandb.Table(columns=message["columns"], data=rows)
        panels = {
            name: [self._image(shown["image"], shown["caption"]) for shown in images]
            for name, images in message["panels"].items()
        }
        return {"dialogues": table, **panels}

    def _image(self, path: str, caption: str | None) -> Any:
        from PIL import Image

        with Image.open(path) as image:
            if max(image.size) <= self._px:
                return self._wandb.Image(path, caption=caption)  # copied, which is cheaper than encoding it
            image.thumbnail((self._px, self._px))
            return self._wandb.Image(image.copy(), caption=caption)


class _FinishingRun:
    """Ends a run in a thread, because the server may be slow and other runs go on."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._error: Exception | None = None
        self.is_sent = False
        self.reason = _LATE
        """What the server did, if not everything was sent."""
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, deadline: float) -> None:
        """Wait for the end of the run; raises the exception that it failed with."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._end()
            self.is_sent = True
        except TimeoutError:
            pass  # data that the server did not get is kept on this machine
        except _RefusedUploads as error:
            self.reason = str(error)
        except Exception as error:
            self._error = error


class _RefusedUploads(Exception):
    """The server took the run, and refused files of it."""


def _finish(run: Any) -> None:
    """End a run, and wait until everything is uploaded; raises _RefusedUploads, or TimeoutError."""
    log = Path(run.settings.log_internal)
    run.finish()
    if refused := refused_uploads(log):
        raise _RefusedUploads(refused)


class _OfflineWriter:
    """A second process of this program, whose runs stay on this machine.

    If the server has refused a run in one process, wandb cannot begin it again in that process.
    """

    def __init__(self, patience_s: int, output: _Output) -> None:
        command = [sys.executable, "-P", __file__, str(patience_s)]
        environment = {name: value for name, value in os.environ.items() if name != _SERVICE}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output.said, text=True, env=environment
        )

    def take(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(message)}\n")
        self._process.stdin.flush()

    def close(self, deadline: float) -> None:
        """Wait for the exit; raises CalledProcessError on failure, which the process itself has reported."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(max(0.0, deadline - time.monotonic()))
        if code:
            raise subprocess.CalledProcessError(code, self._process.args)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _check_disk(path: str) -> None:
    if shutil.disk_usage(path).free < _LEAST_FREE:
        raise OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}; free some space and start the study again", path
        )


if __name__ == "__main__":
    sys.exit(main())
