"""Paid calls survive kill -9: on answering the benchmark over /infer, and on scoring by a judge."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.infer_servers import InferServer, by_content, infer_server
from imug_tts.testing.runs import records
from tests.crash.killing import journaled_calls, kill_again_and_again, run_to_the_end

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
KILLS = 25
AT_ONCE = 4
"""Calls in flight, which a kill may cost."""


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(EXPERIMENTS / name), *map(str, arguments)]


def grade(number: int, body: dict[str, Any]) -> Reply:
    """A reply that every kind of question of a scorer can use; points depend on what was shown."""
    asked = json.dumps(body["messages"])
    points = len(re.findall(r"\\n\d+\. ", asked))
    results = [{"point_id": k, "score": (len(asked) + k) % 6, "reason": "-"} for k in range(1, points + 1)]
    reply = {"evaluation_results": results} if points else {"determined_answer": "B", "reasoning": "-"}
    return completion(json.dumps(reply), delay_s=0.03)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    run_to_the_end(command("write_imug.py", "--out", folder, "--samples", 64, "--seed", 1), folder)
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[InferServer]:
    with infer_server(by_content(latency_s=0.01), slots=AT_ONCE) as running:
        yield running


@pytest.fixture(scope="module")
def judge() -> Iterator[ChatServer]:
    with chat_server(grade) as running:
        yield running


def answering(data: Path, server: InferServer, output: Path) -> list[str]:
    urls, many = f"backbone.urls=[{server.url}]", f"backbone.per_server={AT_ONCE}"
    benchmark = ("benchmark=imug", f"benchmark.root={data}", "backbone=imug_server", urls, many)
    return command(
        "run.py", *benchmark, "strategy=best_of_n", "judge=backbone", "tracking=none", f"output={output}"
    )


def scoring(data: Path, judge: ChatServer, answers: Path, output: Path) -> list[str]:
    endpoint = (f"judge.base_url={judge.base_url}", "judge.model=grader", f"judge.concurrency={AT_ONCE}")
    where = (f"outputs={answers}", f"benchmark.root={data}", f"output={output}", "model=served")
    return command("score.py", *where, *endpoint, "tracking=none")


def test_killed_while_answering_and_while_scoring(
    tmp_path: Path, data: Path, server: InferServer, judge: ChatServer
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    run_to_the_end(answering(data, server, undisturbed), tmp_path)
    asked = server.calls.copy()
    server.calls.clear()
    journal = killed / "journal"
    kill_again_and_again(
        answering(data, server, killed),
        tmp_path,
        journal,
        kills=KILLS,
        at_once=AT_ONCE,
        calls=server.calls.total,
        bytes_of_work=8000,
    )
    assert records(killed) == records(undisturbed)
    assert server.calls.keys() == asked.keys()
    assert max(journaled_calls(journal).values()) == 1

    calm, scored = tmp_path / "calm", tmp_path / "scored"
    run_to_the_end(scoring(data, judge, undisturbed, calm), tmp_path)
    kill_again_and_again(
        scoring(data, judge, killed, scored),
        tmp_path,
        journal,
        kills=KILLS,
        at_once=AT_ONCE,
        calls=lambda: len(judge.bodies),
        bytes_of_work=600,
    )
    assert {record["outcome"] for record in records(scored)} == {"scored"}
    assert records(scored) == records(calm)
    assert max(journaled_calls(journal).values()) == 1  # the run's, which has the judge's replies too
    official = "official/served/summary/summary.json"
    assert (scored / official).read_bytes() == (calm / official).read_bytes()
