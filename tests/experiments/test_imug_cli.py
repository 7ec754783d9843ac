"""The official benchmark from the command line: rehearsed, answered over /infer, scored by a judge."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.infer_servers import InferServer, by_content, faulty, infer_server, unused_url
from imug_tts.testing.runs import records

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PRICES = ("backbone.dollars_per_call=0.5", "scorer.dollars_per_call=0.25")


def do(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXPERIMENTS / name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def grade(number: int, body: dict[str, Any]) -> Reply:
    """Full marks on every point, or B for a dynamic question."""
    points = len(re.findall(r"\\n\d+\. ", json.dumps(body["messages"])))
    results = [{"point_id": k, "score": 5, "reason": "-"} for k in range(1, points + 1)]
    return completion(json.dumps({"evaluation_results": results} if points else {"determined_answer": "B"}))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    assert do("write_imug.py", "--out", folder, "--samples", 60, "--seed", 1, cwd=folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[InferServer]:
    with infer_server(by_content(), slots=4) as running:
        yield running


@pytest.fixture(scope="module")
def judge() -> Iterator[ChatServer]:
    with chat_server(grade) as running:
        yield running


@pytest.fixture(scope="module")
def answers(data: Path, server: InferServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose turns wait for a scorer."""
    folder = tmp_path_factory.mktemp("answers")
    done = do("run.py", *imug(data, server.url), f"output={folder}/run", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "run"


def imug(data: Path, *urls: str) -> list[str]:
    servers = f"backbone.urls=[{','.join(urls)}]"
    return ["benchmark=imug", f"benchmark.root={data}", "backbone=imug_server", servers, "tracking=none"]


def endpoint(judge: ChatServer, group: str = "judge") -> list[str]:
    return [f"{group}.base_url={judge.base_url}", f"{group}.model=grader"]


def number(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, text
    return found[1]


def outcomes(folder: Path) -> Counter[str]:
    return Counter(record["outcome"] for record in records(folder))


def test_what_needs_a_judge_waits_for_one(answers: Path) -> None:
    found = outcomes(answers)
    assert set(found) == {"scored", "unscored"}
    assert {r["modality"] for r in records(answers) if r["outcome"] == "scored"} == {"text", "image"}


def test_a_rehearsal_asks_nothing_and_says_how_much(
    tmp_path: Path, data: Path, server: InferServer, judge: ChatServer
) -> None:
    calls, graded = server.calls.total(), len(judge.bodies)
    scorer = ["judge@scorer=openai", *endpoint(judge, "scorer")]
    done = do("run.py", *imug(data, server.url), *scorer, "+dry_run=true", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"turns; images: \d+$", done.stdout, re.MULTILINE)
    assert re.search(r"calls to imug_server:\S+: generator \d+$", done.stdout, re.MULTILINE)
    priced = do("run.py", *imug(data, server.url), *scorer, *PRICES, "+dry_run=true", cwd=tmp_path)
    drawn, graded_then, dollars = (
        float(number(pattern, priced.stdout)) for pattern in (r"generator (\d+)", r"scorer (\d+)", r"\$(\d+\.\d+)")
    )
    assert dollars == pytest.approx(0.5 * drawn + 0.25 * graded_then)
    assert ("without dollars_per_call" in done.stdout, "without dollars_per_call" in priced.stdout) == (1, 0)
    assert (server.calls.total(), len(judge.bodies)) == (calls, graded)
    assert not list(tmp_path.iterdir())


def test_a_rehearsal_says_who_cannot_be_reached(tmp_path: Path, data: Path, judge: ChatServer) -> None:
    nobody = unused_url()
    scorer = ["judge@scorer=openai", f"scorer.base_url={judge.base_url}", "scorer.model=another"]
    done = do("run.py", *imug(data, nobody), *scorer, "+dry_run=true", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{nobody} cannot be used: no answer to GET /health" in done.stderr
    assert "it serves grader, and not another" in done.stderr


def test_a_run_is_scored_afterwards_and_only_once(
    tmp_path: Path, data: Path, answers: Path, judge: ChatServer
) -> None:
    arguments = (f"outputs={answers}", f"benchmark.root={data}", *endpoint(judge), "model=m", "tracking=none")
    done = do("score.py", *arguments, f"output={tmp_path}/scores", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert outcomes(tmp_path / "scores") == {"scored": sum(outcomes(answers).values())}
    official = tmp_path / "scores" / "official" / "m"
    summary = json.loads((official / "summary" / "summary.json").read_text())
    assert "m" in json.dumps(summary)
    assert (official / "summary" / "summary_with_missing.md").exists()
    assert (official / "score_img" / "m_img_score.jsonl").exists()
    graded = len(judge.bodies)
    # How the judge is called may change from one start to the next.
    knobs = ("judge.concurrency=3", "judge.timeout_s=5", "judge.dollars_per_call=0.01")
    again = do("score.py", *arguments, *knobs, f"output={tmp_path}/scores", cwd=tmp_path)
    assert (again.returncode, len(judge.bodies), again.stderr) == (0, graded, "")


def test_without_a_judge_the_rest_is_scored(tmp_path: Path, data: Path, answers: Path) -> None:
    done = do(
        "score.py",
        f"outputs={answers}",
        f"benchmark.root={data}",
        "judge=none",
        "tracking=none",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    waiting = outcomes(answers)["unscored"]
    assert f"{waiting} turns wait for a judge" in done.stderr
    assert outcomes(tmp_path / "runs" / "scores" / "run") == outcomes(answers)


def test_an_exported_run_scores_as_the_run_does(
    tmp_path: Path, data: Path, answers: Path, judge: ChatServer
) -> None:
    exported = do(
        "export.py", f"run={answers}", f"benchmark.root={data}", f"out={tmp_path}", "model=m", cwd=tmp_path
    )
    assert (exported.returncode, exported.stderr) == (0, "")
    for name, outputs in (("ours", answers), ("theirs", tmp_path / "m")):
        done = do(
            "score.py",
            *(f"outputs={outputs}", f"benchmark.root={data}", "model=m", f"output={tmp_path}/{name}"),
            *(*endpoint(judge), "tracking=none"),
            cwd=tmp_path,
        )
        assert (done.returncode, done.stderr) == (0, "")
    scores = [[r["score"] for r in records(tmp_path / name)] for name in ("ours", "theirs")]
    assert scores[0] == scores[1]


def test_turns_that_fail_for_ever_are_missing_and_nothing_else_is(tmp_path: Path, data: Path) -> None:
    with infer_server(faulty(by_content(), "status", one_in=20), slots=4) as flaky:
        arguments = [*imug(data, flaky.url), "backbone.max_attempts=2", f"output={tmp_path}/run"]
        done = do("run.py", *arguments, cwd=tmp_path)
        assert done.returncode == 1
        missing = re.search(r"(\d+) turns are missing", done.stderr)
        assert missing is not None
        found = outcomes(tmp_path / "run")
        assert found["model_error"] > 0
        assert not any(r["score"] is not None for r in records(tmp_path / "run") if r["outcome"] != "scored")
        flaky.answer = by_content()
        again = do("run.py", *arguments, cwd=tmp_path)
        assert (again.returncode, again.stderr) == (0, "")
        assert sum(outcomes(tmp_path / "run").values()) == sum(found.values()) - found["model_error"] + int(
            missing[1]
        )
