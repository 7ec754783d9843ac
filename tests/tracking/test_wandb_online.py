"""Runs that are sent to a wandb server during the study, also if the server fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imug_tts.contracts import Cost, PlannedRun, Summary
from tests.tracking.studies import (
    AT_TENTH,
    KEY,
    PASSWORD,
    interrupt,
    leave_alone,
    records_of,
    tracked,
    tracker,
)
from tests.tracking.wandb_server import ServedRun, WandbServer, wandb_server

ALL_POINTS = list(range(1, 25))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A server of which the user has a key."""
    leave_alone(monkeypatch, tmp_path)
    with wandb_server() as served:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", served.url)
        monkeypatch.setenv("JUDGE_PASSWORD", PASSWORD)
        yield served


def waits(patience_s: int) -> str:
    """What is said before the server is waited for at the end."""
    return (
        f"wandb: sending what is left to the server, for at most {2 * patience_s} s "
        "(tracking.wandb.patience_s); all results are in the folder of the study already\n"
    )


def only(server: WandbServer) -> ServedRun:
    [run] = server.runs.values()
    return run


def files_with(secret: str, folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert any(path.suffix == ".log" for path in files)
    return [path for path in files if secret.encode() in path.read_bytes()]


def test_with_a_key_a_run_is_on_the_server_with_everything_that_is_promised(
    tmp_path: Path, server: WandbServer, capfd: pytest.CaptureFixture[str]
) -> None:
    tracked(tmp_path / "study", dialogues=2, tags=["toys"])
    run = only(server)
    assert (run.project, run.given["groupName"], run.given["tags"]) == ("imug_tts", "study", ["toys"])
    assert run.config["identity"]["value"]["strategy"]["name"] == "best_of_n"
    assert run.points() == ALL_POINTS
    assert run.points("cost/all/images")[-1] == run.summary["cost/all/images"] == 36
    assert run.summary["final/scored"] == 24
    assert run.summary["dialogues"]["_type"] == "table-file"
    panels = [value for name, value in run.summary.items() if name.startswith("dialogues/")]
    assert [panel["_type"] for panel in panels] == ["images/separated"] * 2
    assert {name for panel in panels for name in panel["filenames"]} <= set(run.files)
    [records] = server.of_type("records")
    assert records["turns.jsonl"] == (tmp_path / "study" / "best" / "turns.jsonl").read_bytes()
    [table] = server.of_type("run_table")
    assert "dialogues.table.json" in table
    assert all(artifact["is_committed"] for artifact in server.artifacts.values())
    assert run.ends == 1
    assert capfd.readouterr().err == waits(300)


def test_points_are_on_the_server_while_the_run_goes_on(
    tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def look() -> None:
        until = time.monotonic() + 30
        while not seen and time.monotonic() < until:
            time.sleep(0.05)
            seen.extend(turns for run in server.runs.values() for turns in run.points())

    monkeypatch.setattr(AT_TENTH, "acts", (look,))
    tracked(tmp_path / "study", dialogues=0)
    assert seen
    assert len(seen) < 24


def test_the_key_is_sent_to_the_server_and_stands_in_no_file(tmp_path: Path, server: WandbServer) -> None:
    tracked(tmp_path / "study")
    assert any(key.startswith("Basic ") for key in server.keys)
    for secret in (KEY, PASSWORD, *(key.split()[-1] for key in server.keys if key)):
        assert not files_with(secret, tmp_path)


def test_a_run_that_is_started_again_goes_on_where_the_server_has_it(
    tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AT_TENTH, "acts", (interrupt,))
    with pytest.raises(KeyboardInterrupt):
        tracked(tmp_path / "study")
    first = only(server).points()
    assert 0 < len(first) < 24
    monkeypatch.setattr(AT_TENTH, "acts", ())
    for _ in range(2):
        tracked(tmp_path / "study")
    run = only(server)
    assert run.points() == ALL_POINTS
    assert run.summary["final/interrupted"] is False
    assert run.ends == 2  # the third invocation had nothing to do


def test_processes_that_work_on_one_run_at_once_write_over_no_points(
    tmp_path: Path, server: WandbServer
) -> None:
    tracked(tmp_path / "study", mode="offline")
    records, folder = records_of(tmp_path / "study" / "best"), tmp_path / "shards" / "best"
    plan = PlannedRun(name="best", title="best", folder=folder, study="s", planned=24, processes=2)
    shards = [tracker(dialogues=0), tracker(dialogues=0)]
    for shard in shards:
        shard.start([plan])
    for number, record in enumerate(records):
        for index, shard in enumerate(shards):
            shard.turn(plan, record, number % 2 != index)
    whole = Summary(
        folder=folder,
        planned=24,
        scored=24,
        outcomes={"scored": 24},
        scores={},
        intrinsic=Cost(),
        spent=Cost(),
        seconds=1.0,
    )
    for shard in shards:
        shard.finish(plan, whole, False)
        shard.close()
    assert sorted(only(server).points()) == ALL_POINTS
    assert only(server).summary["final/scored"] == 24


def answers_500(server: WandbServer) -> None:
    server.status = 500


def is_silent(server: WandbServer) -> None:
    server.is_silent = True


def is_well(server: WandbServer) -> None:
    server.status, server.is_silent, server.is_gone = 200, False, False


def goes_away_midway(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave() -> None:
        until = time.monotonic() + 20
        while not server.runs and time.monotonic() < until:
            time.sleep(0.05)
        server.is_gone = True

    monkeypatch.setattr(AT_TENTH, "acts", (leave,))


def sync(folder: Path) -> None:
    command = [sys.executable, "-m", "wandb", "sync", "--include-online", str(folder)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ, timeout=60)


@pytest.mark.parametrize("does", [answers_500, is_silent])
def test_where_no_run_can_begin_on_the_server_it_is_kept_here_and_sent_later(
    tmp_path: Path,
    server: WandbServer,
    capfd: pytest.CaptureFixture[str],
    does: Callable[[WandbServer], None],
) -> None:
    does(server)
    tracked(tmp_path / "study", dialogues=1, patience_s=10)
    assert len(records_of(tmp_path / "study" / "best")) == 24
    first, said = capfd.readouterr().err.splitlines()
    assert f"{first}\n" == waits(10)
    kept = tmp_path / "study" / "wandb"
    assert said.startswith("wandb: no run could begin on the server (CommError: ")
    assert said.endswith(
        f"missing data is kept here; upload it later with: wandb sync --include-online {kept}"
    )
    assert not files_with(KEY, tmp_path)
    is_well(server)
    sync(kept)
    assert only(server).points() == ALL_POINTS
    assert only(server).summary["final/scored"] == 24


def test_a_server_that_goes_away_midway_gets_the_rest_later(
    tmp_path: Path,
    server: WandbServer,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_away_midway(server, monkeypatch)
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "1")
    began = time.monotonic()
    tracked(tmp_path / "study", dialogues=1, patience_s=5)
    assert time.monotonic() - began < 20
    assert len(records_of(tmp_path / "study" / "best")) == 24
    _, said = capfd.readouterr().err.splitlines()
    assert said.startswith("wandb: the server did not take everything in time; missing data is kept here;")
    assert not files_with(KEY, tmp_path)
    is_well(server)
    sync(tmp_path / "study" / "wandb")
    tracked(tmp_path / "study", dialogues=1)
    run = only(server)
    assert run.points() == ALL_POINTS
    assert run.summary["final/scored"] == 24
    assert run.summary["dialogues"]["_type"] == "table-file"
    assert server.of_type("records")


@pytest.mark.parametrize("path", ["/put/artifact", "/media/images", "/put/manifest"])
def test_uploads_that_the_server_refuses_are_said_and_sent_by_the_next_invocation(
    tmp_path: Path, server: WandbServer, capfd: pytest.CaptureFixture[str], path: str
) -> None:
    server.refuses = path
    tracked(tmp_path / "study", dialogues=1)
    _, said = capfd.readouterr().err.splitlines()
    assert re.match(r"wandb: the server refused \d+ uploads, the first with status: 403 Forbidden: ", said)
    assert "no space is left in your plan" in said
    assert "run the study again to send its dialogues and records" in said
    server.refuses = ""
    tracked(tmp_path / "study", dialogues=1)
    assert capfd.readouterr().err == waits(300)
    assert server.of_type("records")[-1]["turns.jsonl"]
    [panel] = [value for name, value in only(server).summary.items() if name.startswith("dialogues/")]
    assert {*panel["filenames"]} <= {*only(server).files}
