"""No paid call is lost if the client is killed or servers fail."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from imug_tts.testing.infer_servers import Fault, by_content, faulty, infer_server, process, unused_url
from tests.serving.kills import play_with_kills, run_command

KILLS = 3


def test_a_killed_client_pays_for_no_more_than_what_was_in_flight(tmp_path: Path) -> None:
    with process(0.02) as first, process(0.03) as second:
        knobs = ("benchmark.num_samples=30", "in_flight=8")
        ended = play_with_kills(tmp_path / "run", [first, second], *knobs, kills=KILLS)
    assert ended.kills == KILLS, "the run must be long enough for every kill to hit it at work"
    assert (ended.status, ended.scored) == (0, ended.planned)
    assert set(ended.journaled.values()) == {1}
    assert len(ended.journaled) == ended.planned
    in_flight = 4  # two calls a server
    assert ended.planned <= ended.calls <= ended.planned + KILLS * in_flight


@pytest.mark.parametrize("fault", ["error", "hang_up"])
def test_turns_that_fail_for_ever_show_and_are_tried_again(tmp_path: Path, fault: Fault) -> None:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(infer_server(faulty(by_content(), fault, one_in=20))) for _ in range(3)
        ]
        urls = [*(server.url for server in servers), unused_url()]
        command = run_command(tmp_path / "run", urls, "benchmark.num_samples=24", "in_flight=24")
        failing = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert failing.returncode == 1
        assert "run the same command again" in failing.stderr
        for server in servers:
            server.answer = by_content()
        paid = sum(server.calls.total() for server in servers)
        mended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert mended.returncode == 0, mended.stderr
        assert sum(server.calls.total() for server in servers) < 2 * paid


def test_when_every_server_is_down_the_run_ends_and_says_why(tmp_path: Path) -> None:
    urls = [unused_url(), unused_url()]
    knobs = ("benchmark.num_samples=24", "backbone.patience_s=0.5")
    done = subprocess.run(
        run_command(tmp_path / "run", urls, *knobs), capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 1
    record = (tmp_path / "run" / "turns.jsonl").read_text()
    assert "every server has been failing for more than 0.5 s" in record
    assert all(url in record for url in urls)
