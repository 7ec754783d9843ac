"""Runs a command in its own process and measures the CPU time and peak memory of that command alone.

The kernel's peak (ru_maxrss) of a process includes what the process held before its exec: a fork of a large
Python process counts as large, whatever it runs. Therefore a small Python process, which also runs this file,
is in between: the measuring process starts it, and it starts the command and waits for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finished", "finish"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that succeeded. The peak, in MiB, is that of its largest process."""

    stdout: str
    cpu_s: float
    peak_mb: float


def finish(*command: object) -> Finished:
    """Run `python COMMAND ...` at the root of the repository; its stderr is passed through.

    Raises subprocess.CalledProcessError if the command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        usage = Path(folder, "usage.json")
        between = [sys.executable, "-I", __file__, str(usage), sys.executable, *map(str, command)]
        done = subprocess.run(between, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return Finished(stdout=done.stdout, **json.loads(usage.read_text()))


def _between(usage: Path, *command: str) -> int:
    """Run the command and write its resource usage; returns its exit status."""
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    figures = {"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
    usage.write_text(json.dumps(figures))
    return process.returncode


if __name__ == "__main__":
    sys.exit(_between(Path(sys.argv[1]), *sys.argv[2:]))
