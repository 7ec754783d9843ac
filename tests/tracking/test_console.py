"""The console tracker's output where standard error is no terminal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from imug_tts.contracts import ConfigurationError
from imug_tts.tracking.console import ConsoleTracker
from tests.tracking.telling import Written, plan, record, summary

DIRECT, COT = plan("direct-76543210", "direct"), plan("cot-01234567", "cot  history=gold")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("imug_tts.tracking.console.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str], clock: list[float]) -> Written:
    """Standard error, which is no terminal."""
    return Written(capsys)


def test_a_line_is_printed_now_and_then_and_when_a_run_ends(out: Written, clock: list[float]) -> None:
    tracker = ConsoleTracker(interval_s=5)
    tracker.start([DIRECT, COT])
    clock[0] += 10
    for outcome in ("scored", "scored", "model_error", "scored", "scored"):
        tracker.turn(COT, record(outcome), False)
    tracker.finish(COT, summary(scored=4, planned=10, model_error=1), False)
    tracker.close()
    progress, end = out.getvalue().splitlines()
    assert progress == "run 2/2  cot  history=gold  1/10 turns, all 1/20"
    assert end == "run 2/2  cot  history=gold  4/10 turns scored, 1 failed  image 0.875  (1.5 s)"


def test_calls_are_progress_while_no_turn_ends(out: Written, clock: list[float]) -> None:
    tracker = ConsoleTracker(interval_s=5)
    tracker.start([DIRECT])
    for _ in range(1200):
        clock[0] += 0.01
        tracker.call(DIRECT)
    assert out.getvalue().splitlines() == [
        "run  direct  0/10 turns, 500 calls",
        "run  direct  0/10 turns, 1,000 calls",
    ]


def test_progress_tells_failures_speed_and_time_left(out: Written, clock: list[float]) -> None:
    tracker = ConsoleTracker(interval_s=1)
    direct, cot = plan("direct", planned=100), plan("cot", planned=100)
    tracker.start([direct, cot])
    for _ in range(50):
        tracker.turn(cot, record(), True)
    for _ in range(10):
        tracker.turn(cot, record(), False)
    clock[0] += 10
    tracker.turn(cot, record("model_error"), False)
    [line] = out.getvalue().splitlines()
    assert "61/100 turns, all 61/200, 1.0 turns/s, about 2:19 left, 1 failed" in line


def test_turns_of_earlier_invocations_and_the_time_before_the_first_turn_make_no_speed(
    out: Written, clock: list[float]
) -> None:
    tracker = ConsoleTracker(interval_s=1)
    run = plan("direct", planned=1000)
    tracker.start([run])
    for _ in range(900):
        tracker.turn(run, record(), True)
    clock[0] += 300  # the model is loaded
    tracker.turn(run, record(), False)
    clock[0] += 10
    tracker.turn(run, record(), False)
    assert out.getvalue().splitlines()[-1].endswith("902/1,000 turns, 0.1 turns/s, about 16:20 left")


def test_time_left_weighs_runs_by_their_planned_calls(out: Written, clock: list[float]) -> None:
    tracker = ConsoleTracker(interval_s=1)
    cheap, dear = plan("direct", planned=11, calls=11), plan("best", planned=10, calls=90)
    tracker.start([cheap, dear])
    for _ in range(10):
        tracker.turn(cheap, record(), False)
    clock[0] += 10
    tracker.turn(cheap, record(), False)
    assert "about 1:30 left" in out.getvalue()


def test_turns_that_will_not_come_are_not_waited_for(out: Written, clock: list[float]) -> None:
    tracker = ConsoleTracker(interval_s=1)
    tracker.start([DIRECT, COT])
    tracker.turn(DIRECT, record("refused"), False)
    tracker.finish(DIRECT, summary(scored=0, planned=10, refused=1, unasked=9), False)
    clock[0] += 2
    tracker.turn(COT, record(), False)
    assert "about 0:18 left" in out.getvalue().splitlines()[-1]


def test_problems_are_said_while_runs_go_on_with_their_shares(out: Written, clock: list[float]) -> None:
    tracker = ConsoleTracker(interval_s=1)
    tracker.start([DIRECT])
    tracker.turn(DIRECT, record("refused"), True)
    tracker.turn(DIRECT, record("unscored"), True)
    tracker.turn(DIRECT, record("timed_out"), True)
    tracker.turn(DIRECT, record(verdicts=["ok", "unparsable", "ok", "ok"]), True)
    tracker.turn(DIRECT, record(pools=["aa", "ab", "abb"]), True)
    clock[0] += 2
    tracker.turn(DIRECT, record(), False)
    [line] = out.getvalue().splitlines()
    assert line == (
        "run  direct  6/10 turns, 1 failed, 1 refused, 1 need a scorer, 1 of 4 verdicts unread (25%), "
        "1 of 3 candidate pools identical (33%)"
    )


def test_an_arm_that_selects_nothing_or_reads_nothing_is_warned_of(out: Written, clock: list[float]) -> None:
    tracker = ConsoleTracker(interval_s=1)
    tracker.start([DIRECT, COT])
    tracker.turn(DIRECT, record(verdicts=["ok"], pools=["ab", "ab", "ab"]), True)
    tracker.turn(COT, record(verdicts=["unparsable"] * 3, pools=["aa", "bb", "aaa"]), True)
    clock[0] += 2
    tracker.call(COT)
    tracker.finish(COT, summary(5, 5, pools=3, identical_pools=3, verdicts=3, unread_verdicts=3), False)
    line, end = out.getvalue().splitlines()
    assert line.endswith(
        "WARNING: all verdicts unread in run 2, WARNING: all candidate pools identical in run 2"
    )
    assert "WARNING: all 3 verdicts unread, WARNING: all 3 candidate pools identical" in end


def test_a_run_that_was_complete_says_so(out: Written) -> None:
    tracker = ConsoleTracker()
    tracker.start([COT])
    tracker.turn(COT, record(), True)
    tracker.finish(COT, summary(scored=2, planned=2, seconds=0.0), False)
    assert out.getvalue() == "run  cot  history=gold  2/2 turns scored  image 0.875  (nothing left to do)\n"


def test_an_interrupt_is_named_and_runs_without_turns_are_counted(out: Written) -> None:
    tracker = ConsoleTracker()
    tracker.start([DIRECT, COT])
    tracker.turn(DIRECT, record(), False)
    tracker.finish(DIRECT, summary(scored=1, planned=10), True)
    tracker.finish(COT, summary(scored=0, planned=10, seconds=0.0), True)
    tracker.close()
    assert out.getvalue().splitlines() == [
        "run 1/2  direct  1/10 turns scored  image 0.875  (interrupted)",
        "1 of 2 runs have no turn yet",
    ]


def test_one_tracker_follows_one_set_of_runs_after_another(out: Written) -> None:
    tracker = ConsoleTracker()
    tracker.close()
    for run in (DIRECT, COT):
        tracker.start([run])
        tracker.turn(run, record(), False)
        tracker.finish(run, summary(scored=10, planned=10), False)
        tracker.close()
    assert [line[:12] for line in out.getvalue().splitlines()] == ["run  direct ", "run  cot  hi"]


def test_the_interval_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="interval_s is 0"):
        ConsoleTracker(interval_s=0)


def test_the_library_for_terminals_is_not_imported_elsewhere() -> None:
    program = (
        "import sys; from imug_tts.tracking.console import ConsoleTracker; "
        "from tests.tracking.telling import plan; "
        "ConsoleTracker().start([plan('a')]); sys.exit('rich' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.PIPE)
