"""Resuming by replay: a killed and resumed run has the records of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imug_tts.testing.runs import records
from tests.crash.killing import journal_size, journaled_calls, kill_at_a_random_moment, run_to_the_end

ROOT = Path(__file__).parents[2]
KILLS = 20
ARGUMENTS = (
    "strategy=best_of_n_self_verify_cot",
    "strategy.n=2",
    "benchmark.num_samples=6",
    "in_flight=4",
    "tracking=none",
)


def command(output: Path, *more: str) -> list[str]:
    return [sys.executable, str(ROOT / "experiments" / "run.py"), *ARGUMENTS, f"output={output}", *more]


def test_killed_at_twenty_random_moments_the_records_are_the_same(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    run_to_the_end(command(undisturbed), tmp_path)
    moment, journal = random.Random(0), killed / "journal"
    kills = sum(
        kill_at_a_random_moment(command(killed), tmp_path, journal, moment, bytes_of_work=4000)
        for _ in range(KILLS)
    )
    run_to_the_end(command(killed), tmp_path)
    assert kills == KILLS, "the run must be long enough for every kill to hit it at work"
    assert records(killed) == records(undisturbed)
    twice = {call: n for call, n in journaled_calls(journal).items() if n > 1}
    assert not twice
    assert journaled_calls(journal).keys() == journaled_calls(undisturbed / "journal").keys()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_the_batch_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    output = tmp_path / "run"
    process = subprocess.Popen(
        command(output), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None and journal_size(output / "journal") == 0:
        time.sleep(0.001)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"the same command" in said
    before = journaled_calls(output / "journal")
    run_to_the_end(command(output), tmp_path)
    after = journaled_calls(output / "journal")
    assert max(after.values()) == 1
    assert before.keys() <= after.keys()


def test_the_second_signal_stops_at_once_and_keeps_what_was_journaled(tmp_path: Path) -> None:
    output = tmp_path / "run"
    process = subprocess.Popen(
        command(output), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and journal_size(output / "journal") == 0:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=10) == 130
    before = journaled_calls(output / "journal")
    assert before
    run_to_the_end(command(output), tmp_path)
    assert max(journaled_calls(output / "journal").values()) == 1
    assert before.keys() <= journaled_calls(output / "journal").keys()
