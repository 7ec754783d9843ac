"""The process that talks to wandb. It reads one JSON message a line, and ends with its input.

It is run as a file and imports nothing of this package, so that it starts at once. What a user should know
goes to standard output, a line each. It ends with code 0 when everything is uploaded, or kept on this machine
and said to be; with code 1 when something failed.
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
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, Final

_LEAST_FREE: Final = 1 << 20
"""Free bytes below which a disk is full: wandb does not tell that it could not write."""
_BEGIN_S: Final = 90
"""Most seconds to wait for a server when a run begins."""
_SHARE: Final = 3
"""A run that cannot begin takes one part in so many of the patience, so that the others still begin."""
_SERVICE: Final = "WANDB_SERVICE"
"""Where wandb tells a child process that it shares the service of its parent."""
_PARTS: Final = 2
"""The end takes at most so many times the patience: uploads get it once, and questions before them once."""


def main() -> int:
    """Follow the messages; returns the exit code."""
    voice = _Voice()
    patience_s = int(sys.argv[1])
    try:
        writer = _Writer(patience_s, voice)
        for line in sys.stdin:
            writer.take(json.loads(line))
        signal.alarm(_PARTS * patience_s + 1)  # ends this process, whatever wandb waits for
        return 0 if writer.close(time.monotonic() + _PARTS * patience_s) else 1
    except Exception as error:
        signal.alarm(patience_s)
        voice.say("failure", _named(error))
        voice.end()
        return 1


class _Voice:
    """Standard output, which nothing but this process writes to."""

    def __init__(self) -> None:
        self.said = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # wandb prints there too

    def say(self, kind: str, text: str) -> None:
        """Say a "note", or the "failure" that ends this process."""
        line = " ".join(text.split())[:1000]
        os.write(self.said, f"{json.dumps({kind: line})}\n".encode())

    def end(self) -> None:
        os.close(self.said)


class _Writer:
    def __init__(self, patience_s: int, voice: _Voice) -> None:
        import wandb

        self._wandb = wandb
        self._voice = voice
        self._patience_s = patience_s
        self._limits: dict[str, Any] = {
            "init_timeout": max(1, min(_BEGIN_S, patience_s // _SHARE)),
            "finish_timeout": patience_s,
            "finish_timeout_raises": True,
            # processes that work on one run may begin in the same second, which is all that wandb tells apart
            "x_sync_dir_suffix": f"{os.uname().nodename}-{os.getpid()}",
        }
        self._runs: dict[str, Any] = {}
        self._endings: list[_Ending] = []
        self._offline: _OfflineWriter | None = None
        """Takes the runs that could not begin on the server, and all that come later."""
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
            self._endings.append(_Ending(lambda: self._end(ended, message)))

    def close(self, deadline: float) -> bool:
        """End the runs that were not told to their end; returns whether everything is sent or kept."""
        self._endings += [_Ending(run.finish) for run in self._runs.values()]
        if self._offline is not None:
            self._offline.close(deadline)
        for ending in self._endings:
            ending.wait(deadline)
        if all(ending.is_sent for ending in self._endings):
            return True
        if self._offline is None:
            late = f"the server did not take everything in time; {self._kept()}"
            self._voice.say("note", f"{late}, and start the study once more for its dialogues and records")
        if any(ending.is_running for ending in self._endings):
            os._exit(1)  # wandb would wait for the server once more
        return False

    def _open(self, name: str, message: dict[str, Any]) -> None:
        init = message["init"]
        self._px, self._folder = message["px"], init["dir"]
        if self._offline is None:
            try:
                self._runs[name] = self._begin(message)
                return
            except Exception as error:  # wandb's errors have no common kind
                if init["mode"] == "offline":
                    raise
                self._voice.say("note", f"no run could begin on the server ({_named(error)}); {self._kept()}")
        self._pass_on({**message, "init": {**init, "mode": "offline"}})

    def _begin(self, message: dict[str, Any]) -> Any:
        settings = self._wandb.Settings(**message["settings"], **self._limits)
        run = self._wandb.init(**message["init"], resume="allow", reinit="create_new", settings=settings)
        run.define_metric(message["x"])
        run.define_metric("*", step_metric=message["x"], step_sync=False)
        return run

    def _pass_on(self, message: dict[str, Any]) -> None:
        if self._offline is None:
            self._offline = _OfflineWriter(self._patience_s, self._voice)
        self._offline.take(message)

    def _kept(self) -> str:
        folder = Path(self._folder, "wandb")
        return f"what it lacks is kept here; send it later with: wandb sync --include-online {folder}"

    def _end(self, run: Any, message: dict[str, Any]) -> None:
        _check_disk(self._folder)
        run.summary.update(message["summary"])
        try:
            self._show(run, message)
        finally:
            run.finish()  # whatever fails, what was told before is kept
        _check_disk(self._folder)

    def _show(self, run: Any, message: dict[str, Any]) -> None:
        run.log(self._shown(message), step=message["step"])
        if message["files"]:
            artifact = self._wandb.Artifact(message["artifact"], type="records")
            for path in message["files"]:
                artifact.add_file(path, skip_cache=True)
            run.log_artifact(artifact)

    def _shown(self, message: dict[str, Any]) -> dict[str, Any]:
        """The sampled dialogues as a table and as panels."""
        if not message["rows"]:
            return {}
        image = cache(lambda path: self._image(path, None))  # answer and candidate are often one image
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


class _Ending:
    """A run while it ends, which can take as long as the server takes; other runs go on meanwhile."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._error: Exception | None = None
        self.is_sent = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, deadline: float) -> None:
        """Wait for the end; raises what made it fail."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._end()
            self.is_sent = True
        except TimeoutError:
            pass  # what the server lacks is kept on this machine
        except Exception as error:
            self._error = error


class _OfflineWriter:
    """A process like this one, whose runs stay on this machine.

    wandb cannot begin a run a second time in the process in which the server did not let it begin.
    """

    def __init__(self, patience_s: int, voice: _Voice) -> None:
        command = [sys.executable, "-P", __file__, str(patience_s)]
        environment = {name: value for name, value in os.environ.items() if name != _SERVICE}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=voice.said, text=True, env=environment
        )

    def take(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(message)}\n")
        self._process.stdin.flush()

    def close(self, deadline: float) -> None:
        """Wait for its end; raises CalledProcessError when it failed, which it has said why."""
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
