"""The official benchmark from the command line: rehearsed, answered over /infer, scored by a judge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from imug_tts.testing.chat_server import ChatServer, chat_server
from imug_tts.testing.infer_servers import InferServer, by_content, faulty, infer_server, unused_url
from imug_tts.testing.runs import records
from tests.experiments.imug_cli import do, endpoint, grade, imug, number, outcomes

PRICES = ("backbone.dollars_per_call=0.5", "scorer.dollars_per_call=0.25")


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
        float(number(pattern, priced.stdout))
        for pattern in (r"generator (\d+)", r"scorer (\d+)", r"\$(\d+\.\d+)")
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
    assert "it serves grader, not another" in done.stderr


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
