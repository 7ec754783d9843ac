"""The endpoint judge against a server that is not ours: `transformers serve` with a tiny checkpoint."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.contracts import BackboneError, Candidate, Request, Sampling
from imug_tts.dialogue import Message, Text
from imug_tts.judges import OpenAIJudge
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.checkpoints.vlm import write_tiny_vlm
from imug_tts.testing.toys import answer, picture

START_S = 120
ASKED = (
    Message("user", (Text("draw a star"),)),
    Message("assistant", (picture("star"),)),
    Message("user", (Text("What is it?"),)),
)


class Served(NamedTuple):
    base_url: str
    model: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    write_tiny_vlm(folder / "model")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", program, "serve", str(folder / "model"), "--device", "cpu"]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "cache")}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, *address], stdout=log, stderr=log, env=quiet)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server, folder / "log")
            yield Served(f"http://127.0.0.1:{port}/v1", str(folder / "model"))
        finally:
            server.terminate()
            server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")


def chat(served: Served, concurrency: int = 8) -> OpenAIChat:
    return OpenAIChat(base_url=served.base_url, model=served.model, concurrency=concurrency)


def request(seed: int, temperature: float = 1.0) -> Request:
    sampling = Sampling(temperature=temperature, max_tokens=8)
    return Request(history=ASKED, modality="text", seeds=(seed,), sampling=sampling)


def ask(model: OpenAIChat, seed: int, temperature: float = 1.0) -> Candidate:
    [[candidate]] = model.generate([request(seed, temperature)])
    return candidate


def test_a_history_with_images_is_answered_and_counted(served: Served) -> None:
    candidate = ask(chat(served), 1)
    assert isinstance(candidate.output, Text)
    assert candidate.cost.calls == 1
    assert candidate.cost.prompt_tokens > 20
    assert 0 < candidate.cost.new_tokens <= 8
    assert candidate.finish == ("length" if candidate.cost.new_tokens == 8 else "stop")


def test_seeds_hold_for_calls_one_at_a_time_and_greedy_calls_are_equal(served: Served) -> None:
    model = chat(served, concurrency=1)
    assert ask(model, 5).output == ask(model, 5).output
    assert len({ask(model, seed).output for seed in range(4)}) > 1
    assert ask(model, 1, temperature=0.0).output == ask(model, 2, temperature=0.0).output


def test_calls_at_the_same_time_are_answered_each_with_its_own_reply(served: Served) -> None:
    # Seeds need not hold here: the server sets one seed for all, as its backbone's "best_effort" allows.
    model = chat(served)
    assert model.capabilities.seeds == "best_effort"
    with ThreadPoolExecutor(6) as threads:
        candidates = list(threads.map(lambda seed: ask(model, seed), range(6)))
    assert all(isinstance(candidate.output, Text) for candidate in candidates)


def test_what_it_serves_is_checked_and_what_it_refuses_is_said(served: Served) -> None:
    assert chat(served).unreachable() == {}
    other = replace(chat(served), model="another")
    assert "pinned" in other.unreachable()[served.base_url]
    with pytest.raises(BackboneError, match=r"400.*pinned"):
        ask(other, 1)


def test_the_endpoint_judge_asks_it_and_an_unreadable_reply_ranks_nothing(served: Served) -> None:
    judge = OpenAIJudge(base_url=served.base_url, model=served.model, checklist_tokens=16, check_tokens=4)
    response = answer(BestOfN(inner=Direct(), judge=judge, n=2))
    verdicts = [candidate.verdict for candidate in response.candidates]
    assert all(verdict is not None and verdict.judge == "openai" for verdict in verdicts)
    assert response.output is not None  # random weights write no checklist: the first candidate stands
