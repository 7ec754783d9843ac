"""A study of the command line and the same study from Python: one folder, one journal, one identity."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments.shell import Shell

SWEEP = ("-m", "strategy=direct,greedy,best_of_n_cot", "history=own,gold", "output=here", "tracking=none")
SAME = """
from imug_tts import Study
painter = {"name": "painter", "calls": "CALLS"}
study = Study("here", backbone=painter, benchmark={"name": "pocket_world", "num_samples": 6})
for strategy in ("direct", "greedy", "best_of_n_cot"):
    for history in ("own", "gold"):
        study.add(strategy, history=history)
done = study.run(tracking=())
assert done.missing == 0
print(sum(summary.spent.calls for summary in done.summaries.values()))
"""


def in_python(shell: Shell) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SAME.replace("CALLS", str(shell.calls))],
        cwd=shell.home,
        env=os.environ | {"PYTHONPATH": str(shell.home / "packages")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def runs(shell: Shell) -> dict[str, bytes]:
    """The records of each run, by its folder's name."""
    return {path.parent.name: path.read_bytes() for path in (shell.home / "here").glob("*/turns.jsonl")}


@pytest.mark.parametrize("first", ["command", "python"])
def test_either_finds_complete_what_the_other_has_run(tmp_path: Path, first: str) -> None:
    shell = Shell(tmp_path)

    def by_command() -> None:
        done = shell.paint(*SWEEP)
        assert done.returncode == 0, done.stderr

    def by_python() -> None:
        in_python(shell)

    one, other = (by_command, by_python) if first == "command" else (by_python, by_command)
    one()
    calls, written = len(shell.calls_made()), runs(shell)
    assert calls > 0
    assert len(written) == 6
    other()
    assert len(shell.calls_made()) == calls
    assert runs(shell) == written
