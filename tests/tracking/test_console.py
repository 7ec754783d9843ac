"""What the console says while runs go on."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from imug_tts.contracts import ConfigurationError, Cost, PlannedRun, Summary, Tracker
from imug_tts.tracking.console import ConsoleTracker

RUNS = [
    PlannedRun("direct-76543210", "direct", 10),
    PlannedRun("cot-01234567", "cot  history=gold", 10),
]
GOOD = {"run": "cot-01234567", "outcome": "scored"}
BAD = {"run": "cot-01234567", "outcome": "model_error"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def summary(scored: int, planned: int, seconds: float = 1.5, **outcomes: int) -> Summary:
    return Summary(
        folder=Path("runs/default/direct-01234567"),
        planned=planned,
        scored=scored,
        outcomes={"scored": scored, **outcomes},
        scores={"image": 0.875},
        intrinsic=Cost(),
        spent=Cost(),
        seconds=seconds,
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("imug_tts.tracking.console.time.monotonic", lambda: now[0])
    return now


def play(tracker: Tracker, clock: list[float]) -> None:
    tracker.start(RUNS)
    clock[0] += 10
    for record in (GOOD, GOOD, BAD, GOOD, GOOD):
        tracker.turn(record, False)
    tracker.finish("cot-01234567", summary(scored=4, planned=10, model_error=1))


def test_elsewhere_than_on_a_terminal_a_line_is_printed_now_and_then(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    play(ConsoleTracker(interval_s=5), clock)
    progress, end = out.getvalue().splitlines()
    assert progress.startswith("run 2/2  cot  history=gold  1/10 turns, all 1/20")
    assert end.startswith("run 2/2  cot  history=gold  4/10 turns scored, 1 failed  image 0.875  (1.5 s)")
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_one_line_is_rewritten(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("COLUMNS", "60")
    play(ConsoleTracker(), clock)
    assert out.getvalue().count("\n") == 1
    *drawn, end = out.getvalue().split("\r\x1b[K")
    assert all(len(line) < 60 for line in drawn)
    assert end.endswith("\n")


def test_progress_tells_failures_speed_and_time_left(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    tracker = ConsoleTracker(interval_s=1)
    tracker.start([PlannedRun("direct-76543210", "direct", 100), RUNS[1]._replace(planned=100)])
    for _ in range(50):
        tracker.turn(GOOD, True)
    for _ in range(9):
        tracker.turn(GOOD, False)
    clock[0] += 10
    tracker.turn(BAD, False)
    [line] = out.getvalue().splitlines()
    assert "60/100 turns, all 60/200, 1 failed, 1.0 turns/s, about 2:20 left" in line


def test_a_run_that_was_finished_says_so(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    assert clock
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    tracker = ConsoleTracker()
    tracker.start(RUNS[1:])
    tracker.turn(GOOD, True)
    tracker.finish("cot-01234567", summary(scored=2, planned=2, seconds=0.0))
    assert out.getvalue() == "run  cot  history=gold  2/2 turns scored  image 0.875  (nothing left to do)\n"


def test_none_says_nothing(capfd: pytest.CaptureFixture[str], clock: list[float]) -> None:
    play(NoTracker(), clock)
    assert capfd.readouterr() == ("", "")


def test_the_interval_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="interval_s is 0"):
        ConsoleTracker(interval_s=0)
