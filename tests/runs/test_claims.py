"""Claims: those of living workers hold, and those of a dead worker are taken over by exactly one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from imug_tts.runs.claims import MERGE, STALE_S, Worker, workers


def worker(folder: Path) -> Worker:
    made = Worker(folder, {"shard": None})
    made.register()
    return made


def worker_elsewhere(folder: Path, name: str, *, seconds_ago: float) -> None:
    """A worker of another machine that has a block, and was last seen so long ago."""
    about = {"host": "elsewhere", "pid": 1, "namespace": 0, "started": "1", "since": 0}
    sign = folder / "turns" / f"{name}.worker"
    sign.parent.mkdir(exist_ok=True)
    sign.write_text(json.dumps(about))
    os.utime(sign, (time.time() - seconds_ago,) * 2)
    (folder / "turns" / "00000.0.claim").write_text(json.dumps({**about, "name": name}))


def test_what_a_living_worker_has_is_nobody_elses(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    assert first.take("00000")
    assert not second.take("00000")
    assert second.take("00001")
    assert first.taken() == second.taken() == {"00000", "00001"}
    assert first.has("00000")
    assert not first.has("00001")
    assert first.others()
    second.leave()
    assert not first.others()
    assert first.take("00001")
    first.leave()


def test_one_of_many_that_want_the_same_gets_it(tmp_path: Path) -> None:
    worker_elsewhere(tmp_path, "dead", seconds_ago=2 * STALE_S)
    wanting = [worker(tmp_path) for _ in range(8)]
    got: list[str] = []
    start = threading.Barrier(len(wanting))

    def want(each: Worker) -> None:
        start.wait()
        if each.take("00000"):
            got.append(each.name)

    threads = [threading.Thread(target=want, args=(each,)) for each in wanting]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert [each.has("00000") for each in wanting] == [each.name in got for each in wanting]
    for each in wanting:
        each.leave()


@pytest.mark.parametrize(("seconds_ago", "is_free"), [(STALE_S / 2, False), (STALE_S * 1.5, True)])
def test_a_worker_of_another_machine_is_dead_when_it_is_silent(
    tmp_path: Path, seconds_ago: float, is_free: bool
) -> None:
    worker_elsewhere(tmp_path, "far", seconds_ago=seconds_ago)
    here = worker(tmp_path)
    assert here.take("00000") == is_free
    assert [each.is_alive for each in workers(tmp_path)] == [not is_free, True]
    here.leave()


def test_a_process_of_this_machine_is_dead_when_it_is_gone(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from imug_tts.runs.claims import Worker
worker = Worker(Path({str(tmp_path)!r}), {{}})
worker.register()
worker.take("00000")
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    [dead] = workers(tmp_path)
    assert not dead.is_alive
    here = worker(tmp_path)
    assert here.take("00000")
    here.leave()


def test_a_worker_that_was_thought_dead_has_lost_what_it_had(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    assert first.take("00000")
    (tmp_path / "turns" / f"{first.name}.worker").unlink()
    assert second.take("00000")
    assert not first.has("00000")
    second.leave()
    first.leave()


def test_a_claim_cut_off_while_it_was_written_is_free_after_a_while(tmp_path: Path) -> None:
    here, other = worker(tmp_path), worker(tmp_path)
    claim = tmp_path / "turns" / "00000.0.claim"
    claim.touch()
    assert not here.take("00000")
    os.utime(claim, (time.time() - 2 * STALE_S,) * 2)
    assert here.take("00000")
    for each in (here, other):
        each.leave()


def test_a_claim_cut_off_while_it_was_written_is_free_at_once_if_nobody_else_works(tmp_path: Path) -> None:
    here = worker(tmp_path)
    (tmp_path / "turns" / "00000.0.claim").touch()
    assert here.take("00000")
    here.leave()


def test_disks_without_hard_links_hold_claims_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    first, second = worker(tmp_path), worker(tmp_path)
    assert first.take("00000")
    assert not second.take("00000")
    assert first.has("00000")
    for each in (first, second):
        each.leave()


def test_who_has_stepped_back_may_only_put_records_together(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    assert first.take("00000")
    first.step_back()
    assert not second.others()
    assert second.take("00000")
    assert first.take(MERGE)
    assert not second.take(MERGE)
    first.release(MERGE)
    assert second.take(MERGE)
    for each in (first, second):
        each.leave()


def test_nothing_is_left_when_the_last_one_has_cleared_and_left(tmp_path: Path) -> None:
    worker_elsewhere(tmp_path, "dead", seconds_ago=2 * STALE_S)
    last = worker(tmp_path)
    last.take("00000")
    last.take("00001")
    last.step_back()
    last.take(MERGE)
    last.clear()
    last.release(MERGE)
    last.leave()
    assert list(tmp_path.iterdir()) == []
