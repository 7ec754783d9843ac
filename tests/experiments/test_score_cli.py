"""Scoring from the command line, by a judge that never says the same twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imug_tts.testing.chat_server import ChatServer, Reply, chat_server
from imug_tts.testing.infer_servers import InferServer, by_content, faulty, infer_server
from imug_tts.testing.runs import records
from tests.experiments.imug_cli import analyse, do, endpoint, grade, grade_by_time, imug, number, outcomes

ARMS = ("-m", "strategy=direct,best_of_n", "judge=backbone")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    assert do("write_imug.py", "--out", folder, "--samples", 12, "--seed", 1, cwd=folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[InferServer]:
    with infer_server(by_content(), slots=4) as running:
        yield running


@pytest.fixture(scope="module")
def waiting(data: Path, server: InferServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two strategies whose turns wait for a scorer."""
    folder = tmp_path_factory.mktemp("waiting")
    assert do("run.py", *ARMS, *imug(data, server.url), f"output={folder}", cwd=folder).returncode == 0
    return folder


@pytest.fixture
def judge() -> Iterator[ChatServer]:
    with chat_server(grade_by_time) as running:
        yield running


def run_of(study: Path, strategy: str) -> Path:
    (folder,) = study.glob(f"{strategy}-*")
    return folder


def copy_of(study: Path, folder: Path) -> Path:
    """The study's runs without its journal, so that no other test has asked the judge."""
    for name in ("direct", "best_of_4"):
        source = run_of(study, name)
        target = folder / source.name
        target.mkdir(parents=True)
        for path in source.glob("*.json*"):
            (target / path.name).write_bytes(path.read_bytes())
        (target / "images").symlink_to(source / "images")
    (folder / "journal").mkdir()
    return folder


def score(outputs: Path, data: Path, judge: ChatServer, *more: object, cwd: Path) -> Any:
    where = (f"outputs={outputs}", f"benchmark.root={data}", "tracking=none")
    return do("score.py", *where, *endpoint(judge), *more, cwd=cwd)


def test_two_strategies_are_scored_afterwards_and_analysed(
    tmp_path: Path, data: Path, waiting: Path, judge: ChatServer
) -> None:
    study = copy_of(waiting, tmp_path / "study")
    for strategy in ("direct", "best_of_4"):
        done = score(run_of(study, strategy), data, judge, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert str(study / "journal") in done.stdout
    scored = run_of(tmp_path / "runs" / "scores", "best_of_4")
    assert outcomes(scored) == {"scored": sum(outcomes(run_of(waiting, "best_of_4")).values())}
    candidates = [c for r in records(scored) for c in r["response"].get("candidates", ())]
    assert candidates
    assert all("score" in candidate for candidate in candidates)
    analysed = analyse(tmp_path / "runs" / "scores")
    assert analysed.returncode == 0, analysed.stderr
    assert "best_of_4" in analysed.stdout
    assert "direct" in analysed.stdout
    summary = f"official/{scored.name}/summary"
    assert (scored / summary / "summary.json").exists()
    assert (scored / summary / "summary_with_missing.md").exists()


def test_what_the_same_grader_has_scored_costs_nothing_again(
    tmp_path: Path, data: Path, waiting: Path, server: InferServer, judge: ChatServer
) -> None:
    study = tmp_path / "study"
    scorer = ["judge@scorer=openai", *endpoint(judge, "scorer")]
    assert (
        do("run.py", *ARMS, *imug(data, server.url), *scorer, f"output={study}", cwd=tmp_path).returncode == 0
    )
    graded = len(judge.bodies)
    source = run_of(study, "direct")
    done = score(source, data, judge, f"output={tmp_path}/scores", cwd=tmp_path)
    assert (done.returncode, done.stderr, len(judge.bodies)) == (0, "", graded)
    assert [r["score"] for r in records(tmp_path / "scores")] == [r["score"] for r in records(source)]
    manifests = [
        json.loads((folder / "manifest.json").read_text()) for folder in (source, tmp_path / "scores")
    ]
    assert manifests[0]["arm"] == manifests[1]["arm"]


def test_the_same_run_with_a_scorer_asks_the_model_nothing(
    tmp_path: Path, data: Path, server: InferServer, judge: ChatServer
) -> None:
    command = ("strategy=best_of_n", "judge=backbone", *imug(data, server.url))
    do("run.py", *command, cwd=tmp_path)
    asked = server.calls.total()
    do("run.py", *command, "judge@scorer=openai", *endpoint(judge, "scorer"), cwd=tmp_path)
    assert server.calls.total() == asked
    runs = [outcomes(folder) for folder in (tmp_path / "runs" / "default").glob("best_of_4-*")]
    assert sorted(map(len, runs)) == [1, 2]  # all scored, and one that waits
    first, *_ = (tmp_path / "runs" / "default").glob("best_of_4-*")
    graded = len(judge.bodies)
    score(first, data, judge, cwd=tmp_path)
    assert len(judge.bodies) == graded


def test_a_dry_run_asks_nothing_and_says_how_much(
    tmp_path: Path, data: Path, waiting: Path, judge: ChatServer
) -> None:
    study = copy_of(waiting, tmp_path / "study")
    source, priced = run_of(study, "best_of_4"), ("judge.dollars_per_call=0.25", "+dry_run=true")
    before = score(source, data, judge, *priced, cwd=tmp_path)
    assert (before.returncode, before.stderr, len(judge.bodies)) == (0, "", 0)
    assert not (tmp_path / "runs").exists()
    planned = int(number(r"scorer (\d+)", before.stdout))
    assert float(number(r"\$(\d+\.\d+)", before.stdout)) == pytest.approx(0.25 * planned)
    score(source, data, judge, cwd=tmp_path)
    assert len(judge.bodies) == planned > 0
    after = score(source, data, judge, *priced, cwd=tmp_path)
    assert f"scorer {planned}, of which {study}/journal has {planned}" in after.stdout
    assert "$" not in after.stdout
    away = score(source, data, judge, "judge.model=another", "+dry_run=true", cwd=tmp_path)
    assert away.returncode == 1
    assert "it serves grader, not another" in away.stderr


def test_it_goes_on_in_its_folder_and_asks_only_what_is_missing(
    tmp_path: Path, data: Path, waiting: Path
) -> None:
    study = copy_of(waiting, tmp_path / "study")

    def reply(count: int, body: dict[str, Any]) -> Reply:
        return (
            Reply(status=400, body={"error": {"message": "too long"}})
            if count < 3
            else grade_by_time(count, body)
        )

    with chat_server(reply) as judge:
        first = score(run_of(study, "direct"), data, judge, cwd=tmp_path)
        assert first.returncode == 1
        assert "3 turns are missing; the reasons:" in first.stderr
        assert "too long" in first.stderr
        assert "run the same command again" in first.stderr
        graded = len(judge.bodies)
        # How the judge is called may change from one start to the next.
        knobs = ("judge.concurrency=3", "judge.timeout_s=5", "judge.dollars_per_call=0.01")
        again = score(run_of(study, "direct"), data, judge, *knobs, cwd=tmp_path)
        assert (again.returncode, again.stderr, len(judge.bodies)) == (0, "", graded + 3)


def test_turns_without_an_answer_are_counted_with_their_reason(
    tmp_path: Path, data: Path, judge: ChatServer
) -> None:
    with infer_server(faulty(by_content(), "status", one_in=12), slots=4) as flaky:
        answering = [*imug(data, flaky.url), "backbone.max_attempts=2", f"output={tmp_path}/run"]
        assert do("run.py", *answering, cwd=tmp_path).returncode == 1
        missing = json.loads((tmp_path / "run" / "summary.json").read_text())["missing"]
        done = score(tmp_path / "run", data, judge, cwd=tmp_path)
        assert done.returncode == 1
        assert f"{missing} turns are missing" in done.stderr
        assert "model_error: " in done.stderr
        assert "retry unanswered turns with the command" in done.stderr
        flaky.answer = by_content()
        assert do("run.py", *answering, cwd=tmp_path).returncode == 0
    again = score(tmp_path / "run", data, judge, cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")


def test_without_a_judge_the_rest_is_scored(tmp_path: Path, data: Path, waiting: Path) -> None:
    source = run_of(waiting, "direct")
    where = (f"outputs={source}", f"benchmark.root={data}", "model=m", "tracking=none")
    done = do("score.py", *where, "judge=none", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{outcomes(source)['unscored']} turns need a judge; choose one" in done.stderr
    assert "judge=openai judge.base_url=URL judge.model=NAME" in done.stderr
    assert outcomes(tmp_path / "runs" / "scores" / "m") == outcomes(source)


def test_an_exported_run_scores_as_the_run_does(
    tmp_path: Path, data: Path, waiting: Path, judge: ChatServer
) -> None:
    study = copy_of(waiting, tmp_path / "study")
    source = run_of(study, "direct")
    exported = do(
        "export.py", f"run={source}", f"benchmark.root={data}", f"out={tmp_path}", "model=m", cwd=tmp_path
    )
    assert (exported.returncode, exported.stderr) == (0, "")
    for name, outputs in (("ours", source), ("theirs", tmp_path / "m")):
        done = score(outputs, data, judge, f"output={tmp_path}/{name}", "model=m", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    detail = [[r["outcome"] for r in records(tmp_path / name)] for name in ("ours", "theirs")]
    assert detail[0] == detail[1]
    assert {r["strategy"] for r in records(tmp_path / "theirs")} == {"m"}


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        (["outputs=???"], "outputs must be set"),
        (["outputs=???"], "e.g. outputs=runs/STUDY/RUN"),
        (["outputs=nowhere"], "outputs: there is no folder nowhere"),
        (["+foo=1"], "has no knob 'foo'"),
        (["+judge.foo=1"], "judge openai has no knob 'foo'"),
        (["+dry_run=yes"], "dry_run is 'yes'; it must be true or false"),
        (["judge=exact"], "judge=openai judge.base_url=URL judge.model=NAME"),
        (["judge=pairwise"], "judge=pairwise has no model of its own to use as the scorer"),
        (["judge=backbone"], "judge=openai judge.base_url=URL judge.model=NAME"),
        (["benchmark=pocket_world", "judge=none"], "but this one is pocket_world"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked(
    tmp_path: Path, data: Path, waiting: Path, knobs: list[str], words: str
) -> None:
    of_data = [] if "benchmark=pocket_world" in knobs else [f"benchmark.root={data}"]
    done = do("score.py", f"outputs={run_of(waiting, 'direct')}", *of_data, *knobs, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "judge@scorer" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_other_data_and_the_folder_of_the_answers_are_refused(
    tmp_path: Path, data: Path, waiting: Path
) -> None:
    source = run_of(waiting, "direct")
    assert (
        do(
            "write_imug.py", "--out", tmp_path / "other", "--samples", 12, "--seed", 2, cwd=tmp_path
        ).returncode
        == 0
    )
    commands = {
        (
            "score.py",
            f"outputs={source}",
            f"benchmark.root={tmp_path}/other",
            "judge=none",
        ): "but this one is imug:",
        (
            "export.py",
            f"run={source}",
            f"benchmark.root={tmp_path}/other",
            "out=out",
            "model=m",
        ): "benchmark.root=DIR",
        (
            "score.py",
            f"outputs={source}",
            f"benchmark.root={data}",
            f"output={source}",
            "judge=none",
        ): "holds the answers",
    }
    for command, words in commands.items():
        done = do(*command, cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["check_data.py", "export.py", "score.py", "serve.py"])
def test_every_command_refuses_a_knob_that_it_does_not_have(tmp_path: Path, command: str) -> None:
    done = do(command, "+unknown=true", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no knob 'unknown'" in done.stderr


def test_a_run_of_the_pocket_world_is_scored_again(tmp_path: Path) -> None:
    world = ("benchmark=pocket_world", "benchmark.num_samples=3", "tracking=none")
    assert do("run.py", *world, "study=s", cwd=tmp_path).returncode == 0
    source = run_of(tmp_path / "runs" / "s", "direct")
    done = do("score.py", f"outputs={source}", *world, "judge=none", "output=scores", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert records(tmp_path / "scores") == records(source)


def test_two_processes_share_the_scoring_and_ask_nothing_twice(
    tmp_path: Path, data: Path, waiting: Path
) -> None:
    study = copy_of(waiting, tmp_path / "study")
    source = run_of(study, "best_of_4")

    def slowly(number: int, body: dict[str, Any]) -> Reply:
        return replace(grade(number, body), delay_s=0.05)

    with chat_server(slowly) as slow:
        out = f"output={tmp_path}/scores"
        with ThreadPoolExecutor(2) as threads:
            both = [
                threads.submit(score, source, data, slow, out, "shards=2", f"shard={shard}", cwd=tmp_path)
                for shard in range(2)
            ]
            ended = [each.result() for each in both]
        asked = len(slow.bodies)
        alone = score(source, data, slow, f"output={tmp_path}/alone", cwd=tmp_path)
    assert [done.returncode for done in (*ended, alone)] == [0, 0, 0]
    assert records(tmp_path / "scores") == records(tmp_path / "alone")
    assert len({json.dumps(body) for body in slow.bodies}) == asked
    assert (tmp_path / "scores" / "official").is_dir()


def test_a_shard_that_is_not_there_is_refused(
    tmp_path: Path, data: Path, waiting: Path, judge: ChatServer
) -> None:
    done = score(run_of(waiting, "direct"), data, judge, "shards=2", "shard=2", cwd=tmp_path)
    assert (done.returncode, len(judge.bodies)) == (2, 0)
    assert "shard is 2 and shards is 2; shard must be 0 to 1" in done.stderr
