"""Runs a command and kills it at random moments of its work."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = [
    "journal_size",
    "journaled_calls",
    "kill_again_and_again",
    "kill_at_a_random_moment",
    "run_to_the_end",
]


def run_to_the_end(command: Sequence[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def kill_at_a_random_moment(
    command: Sequence[str], cwd: Path, journal: Path, moment: random.Random, *, bytes_of_work: int
) -> bool:
    """Kill -9 during start-up or up to `bytes_of_work` into the work; False if it finished before."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if moment.random() < 0.2:
        time.sleep(moment.uniform(0.0, 1.0))
    else:
        before, growth = journal_size(journal), moment.randint(1, bytes_of_work)
        while process.poll() is None and journal_size(journal) < before + growth:
            time.sleep(0.001)
        time.sleep(moment.uniform(0.0, 0.02))
    killed = process.poll() is None
    process.kill()
    process.wait()
    return killed


def kill_again_and_again(
    command: Sequence[str],
    cwd: Path,
    journal: Path,
    *,
    kills: int,
    at_once: int,
    calls: Callable[[], int],
    bytes_of_work: int,
    seed: int = 0,
) -> None:
    """Kill -9 the command `kills` times, then let it end.

    Each kill may lose the `at_once` calls in flight and no other. `calls` counts the calls that reached the
    server; no attempt may fail there.
    """
    moment = random.Random(seed)
    known = journaled_calls(journal).total() - calls()
    for number in range(1, kills + 1):
        killed = kill_at_a_random_moment(command, cwd, journal, moment, bytes_of_work=bytes_of_work)
        assert killed, "the work must be long enough for every kill to hit it"
        lost = calls() + known - journaled_calls(journal).total()
        assert lost <= number * at_once, f"{lost} calls were lost by {number} kills"
    run_to_the_end(command, cwd)


def journal_size(journal: Path) -> int:
    """Bytes of finished calls; 0 as long as there is no journal."""
    return sum(path.stat().st_size for path in (journal / "calls").glob("*"))


def journaled_calls(journal: Path) -> Counter[bytes]:
    """How often each call stands in the journal's segments, torn last lines left out."""
    calls: Counter[bytes] = Counter()
    for segment in (journal / "calls").glob("*"):
        complete = segment.read_bytes().rpartition(b"\n")[0]
        calls.update(line.split(b" ")[1] for line in complete.splitlines())
    return calls
