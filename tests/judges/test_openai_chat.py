"""The backbone for chat endpoints: requests, replies, retries, and secrets that never leak."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.calls import Journal
from imug_tts.contracts import BackboneError, ConfigurationError, Request
from imug_tts.dialogue import Image, Message, Text
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from tests.judges.chat_calls import ASKED, ask

KEY = "sk-very-secret-0123456789"
HAT = Image.from_pixels(np.full((8, 8, 3), 9, np.uint8))


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


@pytest.mark.parametrize(
    ("knobs", "keys"),
    [
        ({"send_temperature": False}, {"max_completion_tokens"}),
        ({"max_tokens_key": "max_tokens"}, {"temperature", "max_tokens"}),
        ({"max_tokens_key": "none"}, {"temperature"}),
    ],
)
def test_what_an_endpoint_refuses_is_left_out_and_changes_the_identity(
    knobs: dict[str, Any], keys: set[str]
) -> None:
    with chat_server(lambda n, body: completion("A hat.")) as server:
        ask(server, **knobs)
    assert server.bodies[0].keys() == {"model", "messages", "seed"} | keys
    assert OpenAIChat(model="m").identity == "openai_chat:1:m"
    assert OpenAIChat(model="m", send_seed=False).identity == "openai_chat:1:m:unseeded"
    assert OpenAIChat(model="m", **knobs).identity not in ("openai_chat:1:m", "openai_chat:1:m:unseeded")


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
    ("reply", "reason"),
    [
        (completion(None, refusal=f"I cannot help with that, {KEY}."), "I cannot help with that, [key]."),
        (completion("", finish="content_filter"), "content_filter"),
        (completion("Blocked: hate.", finish="SAFETY"), "Blocked: hate."),
        (Reply(status=400, body={"error": {"message": "blocked", "code": "content_filter"}}), "blocked"),
    ],
)
def test_a_refusal_is_a_candidate_that_keeps_the_providers_reason(reply: Reply, reason: str) -> None:
    with chat_server(lambda n, body: reply) as server:
        candidate = ask(server)
    assert (candidate.output, candidate.finish, candidate.cost.calls) == (None, "refused", 1)
    assert candidate.reason == reason


@pytest.mark.parametrize(("content", "text"), [("half a", "half a"), (None, "")])
def test_a_reply_that_was_cut_says_so(content: str | None, text: str) -> None:
    with chat_server(lambda n, body: completion(content, finish="length")) as server:
        candidate = ask(server)
    assert (candidate.output, candidate.finish) == (Text(text), "length")


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "A "}, {"type": "text", "text": "hat."}],
        [{"type": "thinking", "thinking": "What is it?"}, {"type": "text", "text": "A hat."}],
        ["A hat."],
    ],
)
def test_a_reply_in_parts_is_read(content: Any) -> None:
    with chat_server(lambda n, body: completion(content)) as server:
        assert ask(server).output == Text("A hat.")


@pytest.mark.parametrize("finish", [None, "stop", "STOP", "eos_token"])
def test_a_reply_that_ended_as_it_should_is_whole(finish: str | None) -> None:
    with chat_server(lambda n, body: completion("A hat.", finish=finish)) as server:
        candidate = ask(server)
    assert (candidate.output, candidate.finish, candidate.cost.calls) == (Text("A hat."), "stop", 1)


@pytest.mark.parametrize("finish", ["error", "abort", "tool_calls", "out of luck"])
def test_a_reply_that_broke_off_is_no_answer_and_its_end_is_named(finish: str) -> None:
    with (
        chat_server(lambda n, body: completion("half a", finish=finish)) as server,
        pytest.raises(BackboneError, match=f"ended with '{finish}'"),
    ):
        ask(server, max_attempts=2)
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    "usage",
    [
        "many",
        [100],
        {"prompt_tokens": "many"},
        {"prompt_tokens": -5},
        {"prompt_tokens": 1e999},
        {"prompt_tokens_details": "none"},
        None,
    ],
)
def test_a_usage_that_cannot_be_read_is_unknown_and_its_reply_is_kept(usage: Any) -> None:
    reply = completion("A hat.")
    with chat_server(lambda n, body: replace(reply, body={**reply.body, "usage": usage})) as server:
        candidate = ask(server)
    cost = candidate.cost
    assert candidate.output == Text("A hat.")
    assert (cost.calls, cost.prompt_tokens, cost.cached_tokens, cost.new_tokens) == (1, 0, 0, 0)


def test_more_cached_tokens_than_a_prompt_has_are_cut_and_told_once() -> None:
    reply = completion("A hat.")
    usage = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 640}}
    with chat_server(lambda n, body: replace(reply, body={**reply.body, "usage": usage})) as server:
        backbone = OpenAIChat(base_url=server.base_url)
        request = Request(history=ASKED, modality="text", seeds=(1, 2))
        with pytest.warns(UserWarning, match="640 cached tokens in a prompt of 10") as told:
            [candidates] = backbone.generate([request])
    assert len(told) == 1
    assert [(c.cost.prompt_tokens, c.cost.cached_tokens) for c in candidates] == [(0, 10), (0, 10)]


def reached(server: ChatServer, **knobs: Any) -> str:
    """Why an endpoint cannot be used; empty when it can."""
    return "".join(OpenAIChat(base_url=server.base_url, **{"model": "judge", **knobs}).unreachable().values())


def test_a_list_of_models_decides_and_costs_no_call() -> None:
    with chat_server(lambda n, body: completion("yes")) as server:
        for models in (["judge"], ["models/judge", "other"]):
            server.models = models
            assert reached(server) == ""
        server.models = ["one", "other"]
        assert reached(server) == "it serves one, other, not judge"
    assert server.bodies == []


@pytest.mark.parametrize("models", [None, []])
def test_where_no_models_are_listed_a_call_of_one_token_decides(models: list[str] | None) -> None:
    with chat_server(lambda n, body: completion(None, finish="length")) as server:
        server.models = models
        assert reached(server) == ""
        assert [body["max_completion_tokens"] for body in server.bodies] == [1]
        missing = Reply(status=404, body={"error": {"message": "no model judge"}})
        server.reply = lambda n, body: missing
        reason = reached(server)
    assert "a call of one token failed" in reason
    assert "HTTP status 404: no model judge" in reason
    assert len(server.bodies) == 2


def test_an_address_without_its_end_is_told_before_any_run() -> None:
    with chat_server(lambda n, body: completion("yes")) as server:
        server.base_url = server.base_url.removesuffix("/v1")
        assert "HTTP status 404" in reached(server)
        assert "ends in /v1" in reached(server)


@pytest.mark.parametrize("status", [200, 401, 503])
def test_a_key_that_an_endpoint_echoes_is_in_no_message(status: int) -> None:
    echo = Reply(status=status, body={"error": {"message": f"bad key {KEY}"}})
    with chat_server(lambda n, body: echo) as server, pytest.raises(BackboneError) as caught:
        ask(server, max_attempts=1, patience_s=0)
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
    with pytest.raises(BackboneError, match="cannot draw images"):
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
        {"base_url": "http://127.0.0.1:80x0/v1"},
        {"base_url": "http://127.0.0.1:99999/v1"},
        {"base_url": "http://[::1/v1"},
        {"base_url": "http:///v1"},
        {"base_url": "http://my host/v1"},
        {"base_url": f"http://{64 * 'a'}.example/v1"},
        {"base_url": "http://a..example/v1"},
        {"base_url": "http://a/v1?key=1"},
        {"patience_s": -1},
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
