"""experiments/serve.py as a process: the official client, refusals, overload and shutdown."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from imug_tts.backbones.imug_server import ImugServerBackbone
from imug_tts.benchmarks.pocket_world import PocketWorld
from imug_tts.benchmarks.pocket_world.official import write_official
from imug_tts.contracts import Request
from imug_tts.dialogue import Message, Text
from imug_tts.testing.infer_servers import InferServer, by_content, faulty, infer_server
from tests.serving.official_client import Record, infer, play, post

ROOT = Path(__file__).parents[2]


def command(*knobs: str) -> list[str]:
    return [sys.executable, str(ROOT / "experiments" / "serve.py"), *knobs]


@contextmanager
def served(*knobs: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL of a server, and its process, which is ended if it has not ended."""
    process = subprocess.Popen(
        command("port=0", *knobs), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        found = re.search(r"(http://\S+)/infer", process.stdout.readline())
        if found is None:
            raise RuntimeError(process.communicate()[1])
        yield found[1], process
    finally:
        process.kill()
        process.communicate()


def before(server: InferServer, *knobs: str) -> Any:
    """A server of ours that stands before one of the tests'."""
    return served("backbone=imug_server", f"backbone.urls=[{server.url}]", *knobs)


def health(url: str) -> httpx2.Response:
    return httpx2.get(f"{url}/health", trust_env=False)


def asking(text: str, mode: str = "image_only") -> Record:
    return {"history": [{"role": "user", "content": [{"type": "text", "text": text}]}], "output_mode": mode}


def test_the_official_client_plays_dialogues_through_a_strategy(tmp_path: Path) -> None:
    data = write_official(PocketWorld(num_samples=3), tmp_path)
    journal = f"journal={tmp_path / 'journal'}"
    with served("backbone=pocket", "strategy=self_verify", journal) as (url, process):
        assert health(url).json()["strategy"] == "self_verify"
        records = play(data, tmp_path / "first", [url])
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    answers = [task["model_response"] for record in records for task in record["tasks"]]
    assert len(answers) == sum(len(sample.questions) for sample in PocketWorld(num_samples=3).samples())
    assert all(re.fullmatch(r"turn_\d_output\.png|[A-G]\b.*", answer) for answer in answers), answers
    with served("backbone=pocket", "strategy=self_verify", journal) as (url, _):
        again = play(data, tmp_path / "second", [url, url])
    assert again == records
    pictures = [path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*.png")]
    assert pictures
    for picture in pictures:
        assert (tmp_path / "first" / picture).read_bytes() == (tmp_path / "second" / picture).read_bytes()


def test_our_own_client_plays_a_benchmark_through_it(tmp_path: Path) -> None:
    run = [sys.executable, str(ROOT / "experiments" / "run.py"), "backbone=imug_server", "tracking=none"]
    with served("backbone=pocket") as (url, _):
        knobs = [f"backbone.urls=[{url}]", "benchmark.num_samples=6", f"output={tmp_path / 'run'}"]
        subprocess.run([*run, *knobs], check=True, cwd=tmp_path)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["scored"] == summary["planned"] > 0
    assert summary["scores"]["image"] > 0.3  # a model that draws anything else gets next to nothing


def test_our_client_draws_true_candidates_from_our_server() -> None:
    hard = "draw a red star at a1 , a blue circle at c3 , an ice at d2 , a seed at b4 , an ash at a3"
    history = (Message("user", (Text(hard),)),)
    asked = Request(history=history, modality="image", seeds=tuple(range(6)))
    with served("backbone=pocket", "strategy.image_temperature=3.0") as (url, _):
        backbone = ImugServerBackbone(urls=[url])
        drawn, again = ([c.output for c in backbone.generate([asked])[0]] for _ in range(2))
        assert drawn[0] is not None
        shown = (*history, Message("assistant", (drawn[0],)), Message("user", (Text("check"),)))
        checked = Request(history=shown, modality="text", seeds=(0,), form="yes_no")
        [[answer]] = backbone.generate([checked])
    assert drawn == again
    assert len(set(drawn)) > 1
    assert answer.p_yes is not None
    assert (backbone.capabilities.seeds, backbone.capabilities.logits) == ("best_effort", True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_its_end_it_refuses_the_new_and_finishes_what_is_in_hand(number: int) -> None:
    with infer_server(by_content(latency_s=0.7)) as model, before(model) as (url, process):
        with ThreadPoolExecutor(3) as clients:
            in_hand = [clients.submit(post, url, asking(str(n))) for n in range(3)]
            while health(url).json()["in_hand"] < 3:
                time.sleep(0.01)
            process.send_signal(number)
            while health(url).status_code != 503:
                time.sleep(0.01)
            late = post(url, asking("late"))
            answered = [future.result() for future in in_hand]
        assert (late.status_code, late.json()["detail"]) == (503, "the server is stopping")
        assert late.headers["retry-after"] == "1"
        assert all("image" in answer.json()["response"] for answer in answered)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "finishing 3 requests in flight" in said
        assert "Traceback" not in said
        assert model.calls.total() == 3


def test_a_second_signal_ends_it_at_once() -> None:
    slow = by_content(latency_s=5)
    with infer_server(slow) as model, before(model) as (url, process), ThreadPoolExecutor(1) as clients:
        lost = clients.submit(infer, url, asking("a star"), 1)
        while not model.calls:
            time.sleep(0.01)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        while health(url).status_code != 503:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(3) == 130
        assert time.monotonic() - started < 3
        assert lost.result() is None


def test_requests_out_of_bounds_are_refused_with_a_reason() -> None:
    limits = ("limits.megabytes=1", "limits.characters=100", "limits.requests=2")
    with infer_server(by_content(latency_s=0.5)) as model, before(model, *limits) as (url, _):
        big = post(url, asking("a" * (2 << 20)))
        assert (big.status_code, big.json()["detail"]) == (413, "the body has more than 1048576 bytes")
        chunks = httpx2.post(f"{url}/infer", content=(b" " * 65536 for _ in range(40)), trust_env=False)
        assert chunks.status_code == 413
        long = post(url, asking("a" * 101))
        assert (long.status_code, long.json()["detail"]) == (
            422,
            "history has 101 characters; the most is 100",
        )
        assert post(url, asking("a", "sound")).status_code == 422
        assert not model.calls
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(lambda n: post(url, asking(str(n))), range(4)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[0] == 200
        assert statuses[-1] == 503


def test_a_turn_that_fails_is_a_response_with_the_reason() -> None:
    broken = faulty(by_content(), "error")
    with infer_server(broken) as model, before(model, "backbone.max_attempts=1") as (url, _):
        response = post(url, asking("a star"))
    assert response.status_code == 200
    reason = response.json()["response"]["error"]
    assert "the model failed: CUDA out of memory" in reason
    assert len(reason) < 600


def test_a_client_that_tries_again_costs_no_second_call() -> None:
    with infer_server(by_content(latency_s=0.6)) as model, before(model) as (url, _):
        with pytest.raises(httpx2.ReadTimeout):
            post(url, asking("a star"), timeout_s=0.2)
        again = post(url, asking("a star"))
        assert "image" in again.json()["response"]
        assert post(url, asking("a star")).json() == again.json()
        assert model.calls.total() == 1


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        (["stratgy=direct"], ["no knob 'stratgy'", "did you mean strategy?"]),
        (["port=http"], ["port is 'http'"]),
        (["port=70000"], ["port is 70000; it must be 65535 or less"]),
        (["limits.images=0"], ["limits.images is 0"]),
        (["strategy=self_verify", "judge=none"], ["self_verify needs a judge"]),
        (["strategy=best_of_n", "strategy.inner.image_temperature=0"], ["identical answers"]),
        (["backbone=imug_server", "backbone.urls=[http://me:hush@a:1]"], ["secret"]),
    ],
)
def test_what_cannot_work_is_one_clear_message(knobs: list[str], words: list[str]) -> None:
    done = subprocess.run(command(*knobs), capture_output=True, text=True, timeout=30)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(command(f"port={port}"), capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "in use" in done.stderr


def test_help_lists_every_knob_and_imports_nothing_heavy() -> None:
    flags = [sys.executable, "-X", "importtime", *command("--help")[1:]]
    done = subprocess.run(flags, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "transformers", "PIL", "fastapi", "httpx2"}
    assert "limits:" in done.stdout
