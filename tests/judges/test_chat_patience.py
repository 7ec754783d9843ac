"""Retries on a chat endpoint that fails, is slow or unreachable: which, for how long, and what ends them."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.contracts import BackboneError, Request, TimedOut
from imug_tts.dialogue import Text
from imug_tts.testing.chat_server import Reply, chat_server, completion
from tests.judges.chat_calls import ASKED, ask


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port: int = reserved.getsockname()[1]
        return port


@pytest.mark.parametrize(
    "bad",
    [
        Reply(status=503),
        Reply(status=500, body=b"<html>oops</html>"),
        Reply(hang_up=True),
        Reply(body=b"not JSON"),
        Reply(body={"choices": []}),
        Reply(body={"choices": [{"message": "fine"}]}),
        Reply(body={"choices": [{"message": {"content": [1]}}]}),
        Reply(body=[1]),
        Reply(body=100_000 * b"["),
        Reply(status=429, headers={"Retry-After": "0"}),
    ],
)
def test_what_may_pass_is_tried_again_and_counted(bad: Reply) -> None:
    with chat_server(lambda n, body: bad if n == 0 else completion("fine")) as server:
        candidate = ask(server)
    assert (candidate.output, candidate.cost.calls) == (Text("fine"), 2)


def test_retry_after_is_waited_for() -> None:
    busy = Reply(status=429, headers={"Retry-After": "1"})
    with chat_server(lambda n, body: busy if n == 0 else completion("fine")) as server:
        started = time.perf_counter()
        ask(server)
    assert time.perf_counter() - started >= 1


def test_the_attempts_are_bounded_and_the_reason_is_kept() -> None:
    busy = Reply(status=429, body={"error": {"message": "too many calls"}})
    with chat_server(lambda n, body: busy) as server, pytest.raises(BackboneError, match="too many calls"):
        ask(server, max_attempts=2)
    assert len(server.bodies) == 2


@pytest.mark.parametrize("away", [Reply(status=503), Reply(hang_up=True)])
def test_an_endpoint_that_is_away_is_waited_for(away: Reply) -> None:
    with chat_server(lambda n, body: away if n < 3 else completion("fine")) as server:
        candidate = ask(server, max_attempts=1)
    assert (candidate.output, candidate.cost.calls) == (Text("fine"), 4)


def test_an_endpoint_that_is_not_there_is_waited_for_and_costs_no_call() -> None:
    port = unused_port()
    backbone = OpenAIChat(base_url=f"http://127.0.0.1:{port}/v1", max_attempts=1)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(backbone.generate, [Request(history=ASKED, modality="text", seeds=(1,))])
        time.sleep(0.7)
        assert not asked.done()
        with chat_server(lambda n, body: completion("back"), port=port):
            [[candidate]] = asked.result()
    assert (candidate.output, candidate.cost.calls) == (Text("back"), 1)


def test_patience_with_an_endpoint_ends_and_is_not_spent_again_by_the_next_call() -> None:
    away = Reply(status=503, body={"error": {"message": "the judge is away"}})
    with chat_server(lambda n, body: away) as server:
        backbone = OpenAIChat(base_url=server.base_url, patience_s=0.5)
        request = Request(history=ASKED, modality="text", seeds=(1,))
        for longest_s in (2.0, 0.4):
            started = time.monotonic()
            with pytest.raises(BackboneError, match="the judge is away"):
                backbone.generate([request])
            assert time.monotonic() - started < longest_s


@pytest.mark.parametrize(
    "reply", [completion("late", delay_s=60), Reply(status=429, headers={"Retry-After": "60"}), None]
)
def test_an_interrupt_ends_calls_whatever_they_wait_for(reply: Reply | None) -> None:
    with chat_server(lambda n, body: reply or Reply()) as server:
        away = f"http://127.0.0.1:{unused_port()}/v1"
        backbone = OpenAIChat(base_url=server.base_url if reply else away, timeout_s=600, patience_s=600)
        requests = [Request(history=ASKED, modality="text", seeds=(seed,)) for seed in range(16)]
        with ThreadPoolExecutor(16) as threads:
            calls = [threads.submit(backbone.generate, [request]) for request in requests]
            time.sleep(0.3)
            assert not any(call.done() for call in calls)
            started = time.monotonic()
            backbone.interrupt()
            for call in calls:
                with pytest.raises(BackboneError, match="interrupted"):
                    call.result()
        with pytest.raises(BackboneError, match="interrupted"):
            backbone.generate(requests)
        assert time.monotonic() - started < 1


def test_after_an_interrupt_and_resume_calls_are_answered() -> None:
    with chat_server(lambda n, body: completion("late", delay_s=60 if n == 0 else 0)) as server:
        backbone = OpenAIChat(base_url=server.base_url)
        request = Request(history=ASKED, modality="text", seeds=(1,))
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(backbone.generate, [request])
            while not server.bodies:
                time.sleep(0.01)
            backbone.interrupt()
            with pytest.raises(BackboneError, match="interrupted"):
                call.result()
        backbone.resume()
        [[candidate]] = backbone.generate([request])
    assert candidate.output == Text("late")


@pytest.mark.parametrize(("status", "says"), [(400, "too long"), (401, "OPENAI_API_KEY"), (404, "404")])
def test_what_will_not_pass_is_not_tried_again(status: int, says: str) -> None:
    bad = Reply(status=status, body={"error": {"message": "too long"}})
    with chat_server(lambda n, body: bad) as server, pytest.raises(BackboneError, match=says):
        ask(server)
    assert len(server.bodies) == 1


def test_a_slow_endpoint_times_out() -> None:
    slow = completion("late", delay_s=5)
    with chat_server(lambda n, body: slow) as server, pytest.raises(TimedOut, match=r"longer than 0\.1 s"):
        ask(server, timeout_s=0.1, max_attempts=1)


def test_nobody_there_is_an_error() -> None:
    with chat_server(lambda n, body: completion("")) as server:
        pass
    with pytest.raises(BackboneError, match="no connection"):
        ask(server, patience_s=0)
