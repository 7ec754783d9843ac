"""Several processes on one run: each dialogue is played once, also if a process dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from imug_tts.records import read_turns
from imug_tts.runs import Run, execute, workers
from imug_tts.testing.runs import records, without_durations
from tests.crash.killing import journal_size, journaled_calls
from tests.crash.shard import DIALOGUES, Slow, arm

ROOT = Path(__file__).parents[2]
WORK = """
import sys
from pathlib import Path
from tests.crash.shard import work
work(Path(sys.argv[1]), *map(int, sys.argv[2:]))
"""
Process = subprocess.Popen[bytes]


@contextmanager
def shards(folder: Path, count: int, *, numbered: bool = False) -> Iterator[list[Process]]:
    """So many processes at work on the run in `folder`."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORK, str(folder), str(count), *([str(n)] * numbered)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )
        for n in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def wait_for(processes: list[Process]) -> None:
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()


def wait_for_work(folder: Path, journaled: int) -> None:
    """Return when so many bytes are in the journal."""
    deadline = time.monotonic() + 60
    while journal_size(folder / "journal") < journaled:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run by one process that nobody disturbs."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    execute([Run(arm=arm(Slow()), folder=folder, config={})], journal=folder / "journal")
    return folder


def summary_of(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    del summary["last_start"]
    read: dict[str, Any] = without_durations(summary)
    return read


def check_as_by_one(folder: Path, alone: Path) -> None:
    """The folder is as if one undisturbed process had made it."""
    assert records(folder) == records(alone)
    assert summary_of(folder) == summary_of(alone)
    assert {path.name for path in folder.iterdir()} == {path.name for path in alone.iterdir()}
    assert {path.name for path in (folder / "images").iterdir()} == {
        path.name for path in (alone / "images").iterdir()
    }
    assert journaled_calls(folder / "journal") == journaled_calls(alone / "journal")


def check_never_at_once(folder: Path) -> set[int]:
    """No dialogue is asked about by two processes in turn; returns how many processes each had."""
    asked: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for diary in folder.parent.glob("*.diary"):
        for dialogue, began, ended in map(json.loads, diary.read_text().splitlines()):
            asked[dialogue][diary.stem] += [began, ended]
    for by_process in asked.values():
        spans = sorted((min(times), max(times)) for times in by_process.values())
        assert all(ended < began for (_, ended), (began, _) in pairwise(spans))
    return {len(by_process) for by_process in asked.values()}


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("numbered", [False, True])
def test_shards_make_the_records_of_one_process(
    tmp_path: Path, alone: Path, count: int, numbered: bool
) -> None:
    folder = tmp_path / "run"
    with shards(folder, count, numbered=numbered) as processes:
        wait_for(processes)
    check_as_by_one(folder, alone)
    assert check_never_at_once(folder) == {1}
    busy = set(tmp_path.glob("*.diary"))
    assert len(busy) == 1 if count == 1 else len(busy) > 1


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 5), (5, 1)])
def test_killed_half_way_and_gone_on_with_by_another_number(
    tmp_path: Path, alone: Path, first: int, then: int
) -> None:
    folder, whole = tmp_path / "run", journal_size(alone / "journal")
    with shards(folder, first) as processes:
        wait_for_work(folder, whole // 3)
        processes[0].kill()
        wait_for_work(folder, whole // (3 if first == 1 else 2))
        for process in processes:
            process.kill()
            process.wait()
    assert not any(each.is_alive for each in workers(folder))
    assert 0 < len(list(read_turns(folder))) < DIALOGUES * 4
    with shards(folder, then) as processes:
        wait_for(processes)
    check_as_by_one(folder, alone)
    check_never_at_once(folder)


def test_the_dialogues_of_a_killed_process_are_taken_over_by_one_at_work(tmp_path: Path, alone: Path) -> None:
    folder, whole = tmp_path / "run", journal_size(alone / "journal")
    with shards(folder, 2) as processes:
        wait_for_work(folder, whole // 4)
        processes[0].kill()
        wait_for(processes[1:])
    check_as_by_one(folder, alone)
    check_never_at_once(folder)


def test_a_process_that_is_told_to_stop_leaves_the_rest_to_the_others(tmp_path: Path, alone: Path) -> None:
    folder, whole = tmp_path / "run", journal_size(alone / "journal")
    with shards(folder, 2) as processes:
        wait_for_work(folder, whole // 4)
        os.kill(processes[0].pid, signal.SIGTERM)
        wait_for(processes[1:])
        processes[0].communicate(timeout=10)
        assert processes[0].returncode != 0
    check_as_by_one(folder, alone)
    check_never_at_once(folder)


def test_who_works_where_can_be_read_while_they_do(tmp_path: Path, alone: Path) -> None:
    folder, whole = tmp_path / "run", journal_size(alone / "journal")
    with shards(folder, 2, numbered=True) as processes:
        wait_for_work(folder, whole // 3)
        at_work = workers(folder)
        assert {each.pid for each in at_work} == {process.pid for process in processes}
        assert sorted((each.about["shard"], each.about["shards"]) for each in at_work) == [(0, 2), (1, 2)]
        assert {each.host for each in at_work} == {os.uname().nodename}
        assert all(each.is_alive and abs(each.seen - time.time()) < 60 for each in at_work)
        seen = [line.record for line in read_turns(folder)]
        wait_for(processes)
    assert seen
    assert all(without_durations(record) in records(alone) for record in seen)
    assert workers(folder) == []
