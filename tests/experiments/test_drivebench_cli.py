"""`experiments/drivebench.py` as a user starts it: graded, killed, continued, compared, and its errors."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from analysis.drivebench.__main__ import main as compare
from experiments import drivebench
from imug_tts.benchmarks.drivebench.synthetic import write_synthetic
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.checkpoints.vlm import write_tiny_vlm
from imug_tts.testing.runs import records
from tests.crash.killing import journaled_calls, kill_again_and_again, run_to_the_end

KILLS = 6
AT_ONCE = 4
"""Calls in flight, which a kill may cost."""


def grade(number: int, body: dict[str, Any]) -> Reply:
    """A total that depends on what is asked alone; one in eight is a sum, which is asked again."""
    asked = json.dumps(body["messages"])
    points = int(hashlib.sha256(asked.encode()).hexdigest(), 16) % 101
    is_sum = points % 8 == 0 and len(body["messages"]) == 1
    total = f"{points // 2} + {points - points // 2} = {points}" if is_sum else str(points)
    return completion(f"1. All (100 points): {points}\nTotal Score: {total}", delay_s=0.03)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_synthetic(folder, 12, predictions=True)
    return folder


@pytest.fixture(scope="module")
def judge() -> Iterator[ChatServer]:
    with chat_server(grade) as running:
        yield running


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the command in this process; gives its exit status."""

    def started(*arguments: object) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        monkeypatch.setattr(sys, "argv", ["drivebench.py", *map(str, arguments), "tracking=none"])
        return drivebench.main()

    return started


def endpoint(judge: ChatServer) -> tuple[str, ...]:
    return (f"judge.base_url={judge.base_url}", "judge.model=grader", f"judge.concurrency={AT_ONCE}")


def recorded(data: Path) -> tuple[str, ...]:
    return (f"benchmark.root={data}", f"predictions={data}/data/drivebench-test.json", "model=gold")


def test_killed_while_grading_it_goes_on_and_buys_nothing_twice(tmp_path: Path, judge: ChatServer) -> None:
    data = tmp_path / "data"
    write_synthetic(data, 24, predictions=True)

    def command(name: str) -> list[str]:
        script = Path(drivebench.__file__)
        where = (*recorded(data), *endpoint(judge), f"output={tmp_path / name}", "tracking=none")
        return [sys.executable, str(script), *where]

    run_to_the_end(command("calm"), tmp_path)
    journal = tmp_path / "killed" / "journal"
    kill_again_and_again(
        command("killed"),
        tmp_path,
        journal,
        kills=KILLS,
        at_once=AT_ONCE,
        calls=lambda: len(judge.bodies),
        bytes_of_work=6000,
    )
    assert records(tmp_path / "killed") == records(tmp_path / "calm")
    assert max(journaled_calls(journal).values()) == 1
    assert {record["outcome"] for record in records(tmp_path / "killed")} == {"scored"}


def test_recorded_answers_are_graded_and_put_in_tables(
    start: Any, tmp_path: Path, data: Path, judge: ChatServer, capsys: pytest.CaptureFixture[str]
) -> None:
    judge.bodies.clear()
    assert start(*recorded(data), *endpoint(judge), "+dry_run=true") == 0
    planned = re.search(r"scorer (\d+)", capsys.readouterr().out)
    assert planned
    assert judge.bodies == []
    assert start(*recorded(data), *endpoint(judge)) == 0
    printed = capsys.readouterr().out
    asked = len(judge.bodies)
    (folder,) = (tmp_path / "runs" / "drivebench").glob("gold-*")
    found = records(folder)
    planning = [r for r in found if r["class"] == "planning_vqa"]
    assert len(planning) == 12
    mean = 100 * fmean(r["score"] for r in planning)
    assert re.search(rf"gold,planning_vqa +12 +0/12 +{mean:.1f} \[", printed)
    sums = [r for r in found if r["score_detail"]["num_replies"] > 1]
    assert asked > int(planned[1]) > 50  # equal answers to equal questions are one call
    assert len({json.dumps(body["messages"]) for body in judge.bodies}) == asked
    assert sums
    for record in sums:
        detail = record["score_detail"]
        assert detail["official_points"] != detail["points"]
    assert start(*recorded(data), *endpoint(judge)) == 0
    assert len(judge.bodies) == asked


def test_a_model_in_this_process_answers_and_its_memory_and_speed_are_measured(
    start: Any, tmp_path: Path, judge: ChatServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_synthetic(tmp_path / "small", 1)
    write_tiny_vlm(tmp_path / "vlm")
    arguments = (f"benchmark.root={tmp_path}/small", f"backbone.folder={tmp_path}/vlm", *endpoint(judge))
    limits = (
        "strategy.max_tokens=6",
        "speed_questions=2",
        "output=run",
        "model=tiny",
        "backbone.device_map=cpu",
    )
    assert start(*arguments, *limits) == 0
    printed = capsys.readouterr().out
    assert "tiny,planning_vqa" in printed
    assert re.search(r"cpu, 2 questions one at a time: 0.00 GB of weights, \d+.\d+ GB at most", printed)
    speed = json.loads((tmp_path / "run" / "speed.json").read_text())
    assert speed["tokens_per_s"] > 0
    assert speed["first_token_s"] > 0
    assert speed["peak_gb"] > speed["weights_gb"] > 0
    assert {record["outcome"] for record in records(tmp_path / "run")} == {"scored"}
    shown = [part for record in records(tmp_path / "run") for part in record["input"] if "image" in part]
    assert shown
    assert compare([f"tiny={tmp_path}/run", f"again={tmp_path}/run", "--json", str(tmp_path / "n.json")]) == 0
    assert re.search(r"again +\+0.0 \[0.0, 0.0\]", capsys.readouterr().out) is None  # one scene: no interval
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers["again"]["less"]["tiny"]["average"]["est"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["judge=none"], "root must be set"),
        (["benchmark.root=nowhere", "predictions=nowhere.json"], "nowhere"),
        (["benchmark.root={data}", "backbone.folder=nowhere"], "nowhere/config.json"),
        (["benchmark.root={data}", "predictions={data}/plain.json"], "no record of"),
        (["benchmark.root={data}", "judge=exact", "predictions={data}/plain.json"], "no model of its own"),
        (["benchmark.root={data}", "benchmark.setting=Fogg"], "setting"),
        (["+foo=1"], "has no knob 'foo'"),
        (["benchmark=pocket_world", "predictions={data}/plain.json"], "runs only drivebench"),
    ],
)
def test_what_cannot_work_is_said(
    start: Any,
    tmp_path: Path,
    data: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = json.loads((data / "data/drivebench-test.json").read_text())
    (data / "plain.json").write_text(json.dumps([{k: v for k, v in r.items() if k != "pred"} for r in plain]))
    assert start(*(argument.format(data=data) for argument in arguments)) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
