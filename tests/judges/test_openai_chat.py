"""A chat endpoint as a backbone: what is sent, what comes back, what is tried again, and what never leaks."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.calls import Journal
from imug_tts.contracts import BackboneError, Candidate, ConfigurationError, Request, Sampling, TimedOut
from imug_tts.dialogue import Image, Message, Text
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion

KEY = "sk-very-secret-0123456789"
HAT = Image.from_pixels(np.full((8, 8, 3), 9, np.uint8))
ASKED = (Message("user", (Text("What is it?"),)),)


def ask(server: ChatServer, history: tuple[Message, ...] = ASKED, seed: int = 5, **knobs: Any) -> Candidate:
    request = Request(
        history=history, modality="text", seeds=(seed,), sampling=Sampling(temperature=0.1, max_tokens=9)
    )
    knobs = {"base_url": server.base_url, "model": "judge", **knobs}
    [[candidate]] = OpenAIChat(**knobs).generate([request])
    return candidate


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_a_call_carries_model_sampling_seed_and_key_and_its_cost_comes_from_the_usage() -> None:
    with chat_server(lambda n, body: completion("A hat.")) as server:
        candidate = ask(server, dollars_per_call=0.02)
    [body] = server.bodies
    assert body == {
        "model": "judge",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}]}],
        "temperature": 0.1,
        "max_completion_tokens": 9,
        "seed": 5,
    }
    assert f"authorization: bearer {KEY}" in server.headers[0].lower()
    assert (candidate.output, candidate.finish) == (Text("A hat."), "stop")
    cost = candidate.cost
    assert (cost.calls, cost.prompt_tokens, cost.cached_tokens, cost.new_tokens) == (1, 40, 60, 7)
    assert cost.dollars == 0.02


def test_a_seed_is_left_out_where_the_endpoint_refuses_it() -> None:
    with chat_server(lambda n, body: completion("A hat.")) as server:
        ask(server, send_seed=False)
    assert "seed" not in server.bodies[0]
    backbone = OpenAIChat(send_seed=False)
    assert backbone.capabilities.seeds == "none"
    assert backbone.identity != OpenAIChat().identity


def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with chat_server(lambda n, body: completion("A hat.")) as server:
        assert ask(server).output == Text("A hat.")


def test_without_a_key_nothing_is_cut_out_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    bad = Reply(status=400, body={"error": {"message": "none of it fits"}})
    with chat_server(lambda n, body: bad) as server, pytest.raises(BackboneError, match="none of it fits"):
        ask(server)


@pytest.mark.parametrize("key", ["sk-secret\nand-more", "sk-secrét"])
def test_what_can_be_no_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("JUDGE_KEY", key)
    with chat_server(lambda n, body: completion("")) as server:
        with pytest.raises(ConfigurationError, match="JUDGE_KEY") as caught:
            ask(server, api_key_env="JUDGE_KEY")
        assert server.bodies == []
    assert "secr" not in str(caught.value)


def test_images_are_data_urls_of_their_type_and_the_assistants_move_to_the_user(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    Pillow.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    photo = Image.from_bytes((tmp_path / "a.jpg").read_bytes())
    history = (
        Message("system", (Text("Be brief."),)),
        Message("user", (photo, Text("draw a hat"))),
        Message("assistant", (Text("A plan."), HAT)),
        Message("user", (Text("Is it red?"),)),
    )
    with chat_server(lambda n, body: completion("no")) as server:
        ask(server, history)
    system, asked, drawn, check = server.bodies[0]["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert url_of(asked["content"][0]) == ("image/jpeg", photo.read())
    assert asked["content"][1] == {"type": "text", "text": "draw a hat"}
    assert (drawn["role"], drawn["content"].splitlines()[0]) == ("assistant", "A plan.")
    label, image, text = check["content"]
    assert check["role"] == "user"
    assert "assistant's image" in label["text"]
    assert url_of(image) == ("image/png", HAT.read())
    assert text["text"] == "Is it red?"


def url_of(part: dict[str, Any]) -> tuple[str, bytes]:
    kind, _, encoded = part["image_url"]["url"].removeprefix("data:").partition(";base64,")
    return kind, base64.b64decode(encoded)


@pytest.mark.parametrize(
    "reply",
    [
        completion(None, refusal="I cannot help with that."),
        completion("", finish="content_filter"),
        Reply(status=400, body={"error": {"message": "blocked", "code": "content_filter"}}),
    ],
)
def test_a_refusal_is_a_candidate(reply: Reply) -> None:
    with chat_server(lambda n, body: reply) as server:
        candidate = ask(server)
    assert (candidate.output, candidate.finish, candidate.cost.calls) == (None, "refused", 1)


@pytest.mark.parametrize(("content", "text"), [("half a", "half a"), (None, "")])
def test_a_reply_that_was_cut_says_so(content: str | None, text: str) -> None:
    with chat_server(lambda n, body: completion(content, finish="length")) as server:
        candidate = ask(server)
    assert (candidate.output, candidate.finish) == (Text(text), "length")


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
    down = Reply(status=503, body={"error": {"message": "the judge is away"}})
    with chat_server(lambda n, body: down) as server, pytest.raises(BackboneError, match="judge is away"):
        ask(server, max_attempts=2)
    assert len(server.bodies) == 2


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
        ask(server, max_attempts=1)


@pytest.mark.parametrize("status", [200, 401, 503])
def test_a_key_that_an_endpoint_echoes_is_in_no_message(status: int) -> None:
    echo = Reply(status=status, body={"error": {"message": f"bad key {KEY}"}})
    with chat_server(lambda n, body: echo) as server, pytest.raises(BackboneError) as caught:
        ask(server, max_attempts=1)
    shown = [str(caught.value)]
    error: BaseException | None = caught.value
    while error := error.__cause__ if error else None:
        shown.append(str(error))
    assert not any(KEY in text for text in shown)


def test_no_key_is_in_what_is_stored_or_shown(tmp_path: Path) -> None:
    backbone = OpenAIChat()
    assert KEY not in repr(backbone) + backbone.identity
    with chat_server(lambda n, body: completion("A hat.")) as server:
        journal = Journal(tmp_path)
        journal.append([("ab", ask(server))])
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.rglob("*.journal"))


def test_many_threads_share_one_backbone() -> None:
    with chat_server(lambda n, body: completion(json.dumps(body["seed"]), delay_s=0.02)) as server:
        backbone = OpenAIChat(base_url=server.base_url, model="judge")
        requests = [Request(history=ASKED, modality="text", seeds=(seed,)) for seed in range(64)]
        started = time.perf_counter()
        with ThreadPoolExecutor(backbone.capabilities.concurrent_batches) as threads:
            results = list(threads.map(lambda request: backbone.generate([request]), requests))
        elapsed = time.perf_counter() - started
    assert [candidate.output for [[candidate]] in results] == [Text(str(seed)) for seed in range(64)]
    assert 1 < server.most_at_once <= 8
    asked_s = sum(candidate.cost.seconds for [[candidate]] in results)
    assert 64 * 0.02 <= asked_s <= 8 * elapsed, "a call's wait for its turn is no time of the model"


def test_it_draws_nothing_and_reads_no_other_images(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="draws no image"):
        OpenAIChat().generate([Request(history=ASKED, modality="image", seeds=(0,))])
    strange = (Message("user", (Image.from_bytes(b"GIF89a"),)),)
    with pytest.raises(BackboneError, match="neither PNG nor JPEG"):
        OpenAIChat().generate([Request(history=strange, modality="text", seeds=(0,))])
    gone = (Message("user", (Image("0" * 64, tmp_path / "gone.png"),)),)
    with pytest.raises(BackboneError, match=r"gone\.png cannot be read"):
        OpenAIChat().generate([Request(history=gone, modality="text", seeds=(0,))])


@pytest.mark.parametrize(
    "knobs",
    [
        {"base_url": "localhost"},
        {"model": ""},
        {"concurrency": 0},
        {"timeout_s": 0},
        {"max_attempts": 0},
        {"dollars_per_call": -1},
    ],
)
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(knobs))} is"):
        OpenAIChat(**knobs)
