"""The /infer protocol's client against real servers on loopback that answer, fail, stall and vanish."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from imug_tts.backbones.imug_server import ImugServerBackbone
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    ConfigurationError,
    Request,
    Sampling,
    Scope,
    TimedOut,
)
from imug_tts.dialogue import Image, Message, Text
from imug_tts.testing.infer_servers import (
    Asked,
    Fault,
    InferServer,
    Reply,
    by_content,
    faulty,
    infer_server,
    unused_url,
)
from imug_tts.testing.toys import turn_of, within
from tests.backbones.infer_calls import asking, client


def ask_all(backbone: ImugServerBackbone, requests: Sequence[Request]) -> list[Candidate | BackboneError]:
    """As the engine does: one request a call, from as many threads as are declared."""

    def ask(request: Request) -> Candidate | BackboneError:
        try:
            return backbone.generate([request])[0][0]
        except BackboneError as error:
            return error

    with ThreadPoolExecutor(backbone.capabilities.concurrent_batches) as threads:
        return list(threads.map(ask, requests))


def calls_of(*servers: InferServer) -> int:
    return sum(server.calls.total() for server in servers)


def sent(seed: int, temperature: float = 0.7, **knobs: Any) -> dict[str, Any]:
    """What a server gets."""
    with infer_server() as server:
        history = (Message("user", (Text("a star"),)),)
        sampling = Sampling(temperature=temperature)
        client(server, **knobs).generate(
            [Request(history=history, modality="text", seeds=(seed,), sampling=sampling)]
        )
    body: dict[str, Any] = json.loads(server.last)
    return body


def test_each_candidate_has_a_seed_of_31_bits_that_may_be_left_out() -> None:
    assert [sent(seed)["seed"] for seed in (3, 2**40 + 3, 2**31)] == [3, 3, 0]
    assert sent(3, send_seed=False).keys() == {"history", "output_mode", "temperature"}


def test_greedy_is_asked_for_in_a_way_that_servers_that_divide_by_it_understand() -> None:
    assert sent(0, temperature=0.0)["temperature"] == 0.01
    assert sent(0, temperature=0.001)["temperature"] == 0.001
    assert sent(0, temperature=0.0, greedy_temperature=0.0)["temperature"] == 0.0


def test_n_candidates_are_n_calls() -> None:
    with infer_server() as server:
        [candidates] = client(server, dollars_per_call=0.5).generate([asking("a star", seeds=(1, 2, 3))])
    assert len(candidates) == calls_of(server) == 3
    assert sum(candidate.cost.dollars for candidate in candidates) == 1.5
    assert all(isinstance(candidate.output, Image) for candidate in candidates)


def test_work_goes_to_every_server_and_a_slow_one_gets_less() -> None:
    with ExitStack() as stack:
        fast = [stack.enter_context(infer_server(by_content(0.01))) for _ in range(3)]
        slow = stack.enter_context(infer_server(by_content(0.06)))
        answers = ask_all(client(*fast, slow, per_server=1), [asking(str(n)) for n in range(200)])
    assert all(isinstance(answer, Candidate) for answer in answers)
    assert calls_of(*fast, slow) == 200
    assert all(calls_of(server) > 40 for server in fast)
    assert 0 < calls_of(slow) < 30
    assert {server.most_at_once for server in [*fast, slow]} == {1}


def test_the_last_call_waits_for_a_fast_server_rather_than_for_a_slow_one() -> None:
    with infer_server(by_content(0.02)) as fast, infer_server(by_content(0.4)) as slow:
        backbone = client(fast, slow, per_server=1)
        ask_all(backbone, [asking(f"first {n}") for n in range(40)])
        before = calls_of(slow)
        assert before
        for n in range(4):
            with ThreadPoolExecutor(2) as two:  # one may think that both servers are needed
                list(two.map(backbone.generate, [[asking(f"{n}a")], [asking(f"{n}b")]]))
        assert calls_of(slow) == before


def test_a_call_costs_its_time_at_the_server_and_not_its_wait_for_one() -> None:
    turn = turn_of()

    async def ask(scope: Scope) -> list[Candidate]:
        asks = [scope.child(n).ask("generator", turn.history, "image", Sampling()) for n in range(6)]
        return list(await asyncio.gather(*asks))

    with infer_server(by_content(0.1)) as server:
        candidates = within(ask, turn, client(server, per_server=1))
    assert all(candidate.cost.seconds >= 0.1 for candidate in candidates)
    assert sum(candidate.cost.seconds for candidate in candidates) < 0.9


def test_a_server_takes_as_many_calls_at_once_as_it_is_said_to() -> None:
    with infer_server(by_content(0.02), slots=3) as server:
        ask_all(client(server, per_server=3), [asking(str(n)) for n in range(30)])
    assert server.most_at_once == 3


@pytest.mark.parametrize("fault", ["error", "status", "truncated", "garbage", "hang_up", "empty"])
def test_what_fails_once_is_asked_again(fault: Fault) -> None:
    with infer_server(faulty(by_content(), fault, one_in=5, times=1)) as server:
        answers = ask_all(client(server, per_server=1), [asking(str(n)) for n in range(30)])
    candidates = [answer for answer in answers if isinstance(answer, Candidate)]
    failed = sum(times > 1 for times in server.calls.values())
    assert len(candidates) == 30
    assert failed > 1
    assert sum(candidate.cost.calls for candidate in candidates) == calls_of(server) == 30 + failed


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("error", "the model failed: CUDA out of memory"),
        ("status", "HTTP status 500: .*Inference failed"),
        ("truncated", "not a whole PNG"),
        ("garbage", "not JSON: '<html>Bad gateway"),
        ("hang_up", "closed connection without response"),
        ("empty", "`response` has no image"),
    ],
)
def test_what_fails_for_ever_fails_alone_with_its_reason(fault: Fault, reason: str) -> None:
    with infer_server(faulty(by_content(), fault, one_in=10)) as server:
        answers = ask_all(client(server, patience_s=30), [asking(str(n)) for n in range(30)])
    failures = [answer for answer in answers if isinstance(answer, BackboneError)]
    assert 0 < len(failures) < 10
    for failure in failures:
        assert len(str(failure)) < 700
        with pytest.raises(BackboneError, match=reason):
            raise failure
    assert calls_of(server) == 30 + 2 * len(failures)


def test_a_server_gets_no_other_call_before_its_answer_is_kept() -> None:
    with infer_server() as server, ThreadPoolExecutor(1) as another:
        backbone = client(server, per_server=1)
        with backbone.answered(asking("first")) as candidate:
            waiting = another.submit(backbone.generate, [asking("second")])
            time.sleep(0.1)
            assert (candidate.cost.calls, calls_of(server)) == (1, 1)
        waiting.result()
        assert calls_of(server) == 2


def test_a_picture_that_is_gone_is_named_before_any_call(tmp_path: Path) -> None:
    history = (Message("user", (Image("0" * 64, tmp_path / "gone.png"),)),)
    with infer_server() as server:
        with pytest.raises(BackboneError, match=r"gone\.png cannot be read"):
            client(server).generate([Request(history=history, modality="text", seeds=(0,))])
        assert calls_of(server) == 0


def test_a_picture_that_breaks_off_a_request_is_no_failure_of_the_server(tmp_path: Path) -> None:
    large = Image.from_bytes(2 * b"\0" * (1 << 20))
    unreadable = Image("0" * 64, tmp_path)  # a folder: it has a size
    history = (Message("user", (large, unreadable)),)
    with infer_server() as server:
        backbone = client(server, per_server=1)
        for _ in range(4):  # more failures in a row than a server may have
            with pytest.raises(BackboneError, match=f"{tmp_path} cannot be read"):
                backbone.generate([Request(history=history, modality="text", seeds=(0,))])
        [[candidate]] = backbone.generate([asking("a star")])
        assert (candidate.cost.calls, calls_of(server), server.probes) == (1, 1, 0), "it has not rested"


def test_the_wrong_of_the_request_is_not_asked_again() -> None:
    with infer_server(lambda asked: Reply(status=422, body=b'{"detail":"history is empty"}')) as server:
        with pytest.raises(BackboneError, match=r"422.*history is empty"):
            client(server).generate([asking("a star")])
        assert calls_of(server) == 1


def test_a_server_that_asks_for_time_is_given_it() -> None:
    def answer(asked: Asked) -> Reply:
        busy = Reply(status=429, headers="retry-after: 1\r\n")
        return busy if asked.times == 0 else by_content()(asked)

    with infer_server(answer) as server:
        started = time.monotonic()
        [[candidate]] = client(server, patience_s=30).generate([asking("a star")])
    assert candidate.cost.calls == 2
    assert 1 <= time.monotonic() - started < 3


def test_one_dead_server_of_two_costs_no_call() -> None:
    with infer_server() as server:
        answers = ask_all(client(unused_url(), server), [asking(str(n)) for n in range(40)])
    assert all(isinstance(answer, Candidate) and answer.cost.calls == 1 for answer in answers)
    assert calls_of(server) == 40


def test_a_server_that_comes_back_is_probed_and_used_again() -> None:
    with infer_server() as steady, infer_server() as shaky:
        backbone = client(steady, shaky, per_server=1)
        working = shaky.answer
        shaky.answer, shaky.healthy = faulty(working, "status"), False
        ask_all(backbone, [asking(f"before {n}") for n in range(20)])
        sick = calls_of(shaky)
        assert sick <= 4
        shaky.answer, shaky.healthy = working, True
        deadline = time.monotonic() + 10
        while calls_of(shaky) == sick and time.monotonic() < deadline:
            ask_all(backbone, [asking(f"after {time.monotonic()} {n}") for n in range(8)])
        assert calls_of(shaky) > sick
        assert shaky.probes > 0


def test_when_every_server_is_down_calls_fail_within_a_bounded_time() -> None:
    backbone = client(unused_url(), unused_url(), patience_s=0.5)
    started = time.monotonic()
    answers = ask_all(backbone, [asking(str(n)) for n in range(200)])
    assert time.monotonic() - started < 5
    for answer in answers:
        assert isinstance(answer, BackboneError)
        assert "every server has been failing for more than 0.5 s" in str(answer)
        assert all(url in str(answer) for url in backbone.urls)


def test_a_call_that_takes_too_long_has_timed_out() -> None:
    with infer_server(by_content(latency_s=1.0)) as server:
        with pytest.raises(TimedOut, match=r"longer than 0\.2 s"):
            client(server, timeout_s=0.2, max_attempts=2).generate([asking("a star")])
        assert calls_of(server) == 2


def test_a_response_that_trickles_has_timed_out_too() -> None:
    import socket
    import threading

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            try:
                for _ in range(100):
                    connection.sendall(b" ")
                    time.sleep(0.05)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        backbone = client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.3, max_attempts=1)
        with pytest.raises(TimedOut):
            backbone.generate([asking("a star")])
        thread.join()


def late_to_return(backbone: ImugServerBackbone, waiting_for_s: float = 0.3) -> float:
    """Seconds from an interrupt to the return of the last of as many calls as may be asked at once."""
    with ThreadPoolExecutor(backbone.capabilities.concurrent_batches) as threads:
        calls = [
            threads.submit(backbone.generate, [asking(str(n))])
            for n in range(backbone.capabilities.concurrent_batches)
        ]
        time.sleep(waiting_for_s)
        assert not any(call.done() for call in calls)
        started = time.monotonic()
        backbone.interrupt()
        for call in calls:
            with pytest.raises(BackboneError, match="interrupted"):
                call.result()
        with pytest.raises(BackboneError, match="interrupted"):
            backbone.generate([asking("a later one")])
    return time.monotonic() - started


def test_an_interrupt_ends_calls_that_are_answered_slowly_and_those_that_wait_for_a_server() -> None:
    with infer_server(by_content(latency_s=60)) as server:
        assert late_to_return(client(server, timeout_s=600)) < 1


def test_an_interrupt_ends_calls_to_servers_that_are_all_down() -> None:
    assert late_to_return(client(unused_url(), unused_url(), patience_s=600)) < 1


def test_an_interrupt_ends_calls_that_were_told_to_come_back_later() -> None:
    busy = Reply(status=503, headers="retry-after: 60\r\n")
    with infer_server(lambda asked: busy, slots=8) as server:
        assert late_to_return(client(server, patience_s=600)) < 1


def test_the_model_or_else_its_servers_are_a_part_of_the_identity() -> None:
    one, other = "http://a:1", "http://b:1"
    assert client(one).identity == client(other).identity
    assert client(one, model="toy-2").identity != client(one).identity
    assert client(one, model=None).identity != client(other, model=None).identity
    assert client(one, other, model=None).identity == client(other, one, model=None).identity


def test_how_the_model_is_asked_is_a_part_of_the_identity_where_it_is_unusual() -> None:
    url = "http://a:1"
    assert client(url).identity == "imug_server:1:toy-1"
    ways: list[dict[str, Any]] = [
        {},
        {"send_seed": False},
        {"greedy_temperature": 0.0},
        {"greedy_temperature": 0.1},
    ]
    assert len({client(url, **way).identity for way in ways}) == len(ways)
    assert client(url, greedy_temperature=0).identity == client(url, greedy_temperature=0.0).identity


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"urls": []}, "urls is .*a list of 1 or more"),
        ({"urls": ["http://a:1", "http://a:1/infer"]}, "name each server once"),
        ({"urls": ["ftp://a"]}, "write http://HOST:PORT"),
        ({"urls": ["a:8000"]}, "write http://HOST:PORT"),
        ({"urls": ["http://a:none"]}, "write http://HOST:PORT"),
        ({"urls": ["http://me:hush@a:1"]}, "contains a password"),
        ({"urls": ["http://me:hush@a:80x0"]}, "write http://HOST:PORT"),
        ({"greedy_temperature": -0.1}, "greedy_temperature is -0.1"),
        ({"outputs": ["sound"]}, "outputs is 'sound'; choose from: text, image"),
        ({"per_server": 0}, "per_server is 0"),
        ({"dollars_per_call": -1}, "dollars_per_call is -1"),
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"timeout_s": 0}, "timeout_s is 0"),
        ({"patience_s": -1}, "patience_s is -1"),
    ],
)
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as error:
        ImugServerBackbone(**knobs)
    assert "hush" not in str(error.value)
