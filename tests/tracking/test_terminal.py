"""The console tracker's output on a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr

import pytest

from imug_tts.tracking.console import ConsoleTracker
from tests.tracking.telling import plan, record, summary

RUNS = [plan(f"run{number}", f"best_of_4  classes=hybrid  history=own  seed={number}") for number in range(9)]
ERASED = "\x1b[2K"
"""What clears a line before something else is written there."""

PROGRAM = """
import sys, time
from imug_tts.tracking.console import ConsoleTracker
from tests.tracking.telling import plan, record, summary

runs = [plan("direct"), plan("cot")]
tracker = ConsoleTracker()
tracker.start(runs)
tracker.turn(runs[0], record(), False)
time.sleep(1.1)  # the bars are drawn
sys.stderr.write("warning: the disk is slow\\n")
print("to a file")
"""
END = """
tracker.finish(runs[0], summary(scored=1, planned=10), False)
tracker.close()
print("interrupted", file=sys.stderr)
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 60 columns and 12 lines as standard error."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": "60", "LINES": "12"}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


def shown(terminal: Terminal) -> list[str]:
    """Every line that was ever drawn, without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").split("\n")


def play(terminal: Terminal, runs: int) -> None:
    """A failed turn of each of so many runs, and the end of the first run."""
    tracker = ConsoleTracker()
    with redirect_stderr(terminal):
        tracker.start(RUNS)
        for run in RUNS[:runs]:
            tracker.turn(run, record("model_error"), False)
        tracker.finish(RUNS[0], summary(scored=0, planned=10, model_error=1), False)
        tracker.close()


def test_runs_under_way_and_the_total_have_bars(terminal: Terminal) -> None:
    play(terminal, 3)
    lines = shown(terminal)
    assert (
        "run 1/9  best_of_4  classes=hybrid  history=own  seed=0  0/10 turns scored, 1 failed  (1.5 s)"
        in lines
    )
    bars = [line for line in lines if "─" in line]
    assert {line[:7] for line in bars} >= {"run 2/9", "run 3/9", "all 9 r"}
    assert not [line for line in bars if line.startswith("run 4/9")]
    assert any(line.startswith("3 failed") for line in lines)


def test_bars_fit_the_terminal_and_keep_what_tells_runs_apart(terminal: Terminal) -> None:
    play(terminal, 9)
    bars = [line for line in shown(terminal) if "─" in line]
    assert max(map(len, bars)) <= 60
    assert any(re.match(r"run 2/9 .*….*seed=1  ━*─* +1/10$", line) for line in bars)
    assert any(line.startswith("3 more runs under way") for line in shown(terminal))


def test_no_colours_where_none_are_wanted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    play(terminal, 3)
    assert "─" in terminal.getvalue()
    assert not re.findall(r"\x1b\[[0-9;]*3[0-7]m", terminal.getvalue())


@pytest.mark.parametrize("name", ["dumb", "unknown", ""])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TERM", name)
    play(terminal, 3)
    assert "\x1b" not in terminal.getvalue()
    assert terminal.getvalue().startswith("run 1/9  best_of_4")


def on_a_terminal(program: str, until: Callable[[str], bool], then: signal.Signals | None = None) -> str:
    """What a program writes to a real terminal as its standard error; it gets a signal, or ends by itself."""
    terminal, stderr = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", program]
    written = ""
    with subprocess.Popen(command, stderr=stderr, stdout=subprocess.PIPE, env=environment) as process:
        os.close(stderr)
        while not until(written):
            written += os.read(terminal, 4096).decode()
        if then is not None:
            process.send_signal(then)
        process.communicate(timeout=30)
    os.close(terminal)
    return written


def test_messages_come_on_lines_of_their_own_above_the_bars() -> None:
    written = on_a_terminal(PROGRAM + END, until=lambda text: "interrupted" in text)
    bars = written.index("run 1/2")
    warning, end = written.index("warning: the disk is slow"), written.index("1/10 turns scored")
    assert bars < warning < end
    assert written[:warning].endswith(ERASED)
    assert "─" in written[warning:end]
    last = written[written.rindex(ERASED) + len(ERASED) :]
    assert "─" not in last
    assert last.splitlines()[-1].endswith("interrupted")
    assert "to a file" not in written


def test_a_killed_process_leaves_a_cursor() -> None:
    endless = f"{PROGRAM}\ntime.sleep(60)"
    written = on_a_terminal(endless, until=lambda text: "the disk is slow" in text, then=signal.SIGKILL)
    assert re.findall(r"\x1b\[\?25[hl]", written)[-1] == "\x1b[?25h"
