"""Runs Python commands, each in a fork of this process, which has imported what takes long to import.

    python tests/forked.py [MODULE ...]        modules to import besides those that all commands need

Reads the folder and the arguments of a command as a line of JSON, and answers with exit status and output.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]
COSTLY = (
    "torch",
    "numpy",
    "pandas",
    "scipy.stats",
    "hydra",
    "imug_tts.assemble",
    "imug_tts.runs",
    "PIL.Image",
)


def main() -> None:
    """Answer command after command until the input ends."""
    sys.path[0] = str(ROOT)
    for name in (*COSTLY, *sys.argv[1:]):
        import_module(name)
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if child == 0:
                folder, arguments = json.loads(line)
                _become(folder, arguments, output.fileno())
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            print(json.dumps([status, output.read()]), flush=True)


def _become(folder: str, arguments: Sequence[str], output: int) -> NoReturn:
    """Carry out a command as `python ARGUMENTS` would in the folder, and end."""
    os.chdir(folder)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status: object = 0
    try:
        _execute(arguments)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def _execute(arguments: Sequence[str]) -> None:
    first, *rest = arguments
    if first == "-W":
        warnings.simplefilter("error")
        first, *rest = rest[1:]
    if first == "-c":
        Path("given.py").write_text(rest[0], encoding="utf-8")
        first = "given.py"
    if first == "-m":
        sys.argv = [*rest]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        sys.path.insert(0, str(Path(first).resolve().parent))
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main()
