"""Resume is replay: the real process, killed for real, ends in the records of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.engine.toy import records

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


def start(output: Path, cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(output), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run_to_the_end(output: Path, cwd: Path) -> None:
    subprocess.run(command(output), cwd=cwd, check=True, capture_output=True)


def journaled_calls(output: Path) -> Counter[bytes]:
    """How often each call stands in the journal's segments, torn last lines left out."""
    calls: Counter[bytes] = Counter()
    for segment in (output / "journal" / "calls").iterdir():
        complete = segment.read_bytes().rpartition(b"\n")[0]
        calls.update(line.split(b" ")[1] for line in complete.splitlines())
    return calls


def journal_size(output: Path) -> int:
    return sum(path.stat().st_size for path in (output / "journal" / "calls").glob("*"))


def kill_at_a_random_moment(output: Path, cwd: Path, moment: random.Random) -> bool:
    """Kill -9 during start-up or some way into the work; False if it finished before."""
    process = start(output, cwd)
    if moment.random() < 0.2:
        time.sleep(moment.uniform(0.0, 1.0))
    else:
        before = journal_size(output) if (output / "journal" / "calls").exists() else 0
        growth = moment.randint(1, 4000)
        while process.poll() is None and _size_or_zero(output) < before + growth:
            time.sleep(0.001)
        time.sleep(moment.uniform(0.0, 0.02))
    killed = process.poll() is None
    process.kill()
    process.wait()
    return killed


def _size_or_zero(output: Path) -> int:
    return journal_size(output) if (output / "journal" / "calls").exists() else 0


def test_killed_at_twenty_random_moments_the_records_are_the_same(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    run_to_the_end(undisturbed, tmp_path)
    moment = random.Random(0)
    kills = sum(kill_at_a_random_moment(killed, tmp_path, moment) for _ in range(KILLS))
    run_to_the_end(killed, tmp_path)
    assert kills == KILLS, "the run must be long enough for every kill to hit it at work"
    assert records(killed) == records(undisturbed)
    twice = {call: n for call, n in journaled_calls(killed).items() if n > 1}
    assert not twice
    assert journaled_calls(killed).keys() == journaled_calls(undisturbed).keys()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_the_batch_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    output = tmp_path / "run"
    process = subprocess.Popen(
        command(output), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None and _size_or_zero(output) == 0:
        time.sleep(0.001)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"the same command" in said
    before = journaled_calls(output)
    run_to_the_end(output, tmp_path)
    after = journaled_calls(output)
    assert max(after.values()) == 1
    assert before.keys() <= after.keys()


def test_the_second_signal_stops_at_once_and_keeps_what_was_journaled(tmp_path: Path) -> None:
    output = tmp_path / "run"
    process = start(output, tmp_path)
    while process.poll() is None and _size_or_zero(output) == 0:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=10) == 130
    before = journaled_calls(output)
    assert before
    run_to_the_end(output, tmp_path)
    assert max(journaled_calls(output).values()) == 1
    assert before.keys() <= journaled_calls(output).keys()
