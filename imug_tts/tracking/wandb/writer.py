"""The process that talks to wandb. It reads one JSON message a line, and ends with its input.

It is run as a file and imports nothing of this package, so that it starts at once. Whatever fails, it says so
in one line on standard output and ends with code 1.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from functools import cache
from typing import Any, Final

_LEAST_FREE: Final = 1 << 20
"""Free bytes below which a disk is full: wandb does not tell that it could not write."""
_BEGIN_S: Final = 90
"""Most seconds to wait for a server when a run begins."""


def main() -> int:
    """Follow the messages; returns the exit code."""
    said = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # wandb prints there too
    patience_s = int(sys.argv[1])
    try:
        writer = _Writer(patience_s)
        for line in sys.stdin:
            writer.take(json.loads(line))
        signal.alarm(patience_s)  # ends this process, whatever wandb waits for
        writer.close()
    except Exception as error:
        signal.alarm(patience_s)
        os.write(said, f"{type(error).__name__}: {error}".replace("\n", " ")[:1000].encode())
        os.close(said)
        return 1
    return 0


class _Writer:
    def __init__(self, patience_s: int) -> None:
        import wandb

        self._wandb = wandb
        self._settings = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=min(_BEGIN_S, patience_s),
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            x_disable_stats=True,
            x_disable_meta=True,  # it would hold the command line
            x_disable_machine_info=True,
            x_save_requirements=False,
            # processes that work on one run may begin in the same second, which is all that wandb tells apart
            x_sync_dir_suffix=f"{os.uname().nodename}-{os.getpid()}",
        )
        self._runs: dict[str, Any] = {}
        self._px = 0
        self._folder = ""

    def take(self, message: dict[str, Any]) -> None:
        what, run = message["do"], message["run"]
        if what == "open":
            self._open(run, message)
        elif what == "row":
            self._runs[run].log(message["row"], step=message["step"])
        else:
            self._end(self._runs.pop(run), message)

    def close(self) -> None:
        """End the runs that were not told to their end."""
        for run in self._runs.values():
            run.finish()

    def _open(self, name: str, message: dict[str, Any]) -> None:
        run = self._wandb.init(
            **message["init"], resume="allow", reinit="create_new", settings=self._settings
        )
        run.define_metric(message["x"])
        run.define_metric("*", step_metric=message["x"], step_sync=False)
        self._px, self._folder = message["px"], message["init"]["dir"]
        self._runs[name] = run

    def _end(self, run: Any, message: dict[str, Any]) -> None:
        _check_disk(self._folder)
        run.log(self._shown(message), step=message["step"])
        run.summary.update(message["summary"])
        if message["files"]:
            artifact = self._wandb.Artifact(message["artifact"], type="records")
            for path in message["files"]:
                artifact.add_file(path, skip_cache=True)
            run.log_artifact(artifact)
        run.finish()
        _check_disk(self._folder)

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
            image.thumbnail((self._px, self._px))
            return self._wandb.Image(image.copy(), caption=caption)


def _check_disk(path: str) -> None:
    if shutil.disk_usage(path).free < _LEAST_FREE:
        raise OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}; free some space and start the study again", path
        )


if __name__ == "__main__":
    sys.exit(main())
