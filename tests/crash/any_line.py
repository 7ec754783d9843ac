"""Kills a small study at chosen lines of the code that writes, each time in a process of its own.

    python -m tests.crash.any_line FOLDER LINE [LINE ...]

For each LINE, one process works in a new folder and is killed just before it executes that many lines of
`FILES`; a second process then finishes the study, and its folder must hold what an undisturbed study holds.
Prints the number of kills that hit, and one line per study that ended otherwise.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import imug_tts
from imug_tts.strategies import Direct
from imug_tts.testing.runs import ToyBenchmark, records, run

PACKAGE = Path(imug_tts.__file__).parent
FILES = tuple(str(PACKAGE / name) for name in ("runs", "records", "calls/journal", "files.py"))


def study(folder: Path) -> None:
    summary = run(folder, Direct(), benchmark=ToyBenchmark(num_samples=3))
    if (summary.scored, summary.missing, summary.elsewhere) != (12, 0, 0):
        print(f"{folder}: scored {summary.scored}, missing {summary.missing}, elsewhere {summary.elsewhere}")
        os._exit(1)


def killed_at(line: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that kills this process before the given line, counted over all threads."""
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(FILES):
            return None
        if event == "line":
            seen += 1
            if seen == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def in_a_process(work: Callable[[], None]) -> int:
    """The status of a forked process that does `work`: its exit status, or minus the signal that ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def main(folder: Path, lines: Sequence[int]) -> None:
    assert in_a_process(lambda: study(folder / "undisturbed")) == 0
    expected = records(folder / "undisturbed")
    hits = 0
    for line in lines:
        output = folder / str(line)

        def disturbed(line: int = line, output: Path = output) -> None:
            trace = killed_at(line)
            threading.settrace(trace)
            sys.settrace(trace)
            study(output)

        hits += in_a_process(disturbed) == -signal.SIGKILL
        if in_a_process(lambda output=output: study(output)) or records(output) != expected:  # type: ignore[misc]
            print(f"line {line}: {output} is not as an undisturbed study")
        elif left := names(output) - names(folder / "undisturbed") - {"turns"}:  # which may keep a dead claim
            print(f"line {line}: {output} keeps {sorted(left)}")
    print(f"kills: {hits}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(number) for number in sys.argv[2:]])
