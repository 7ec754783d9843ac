"""A slot of an endpoint stays reserved until the answer is journaled, and is free during other waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import pytest

from imug_tts.backbones.http_reward import HttpReward
from imug_tts.backbones.openai import OpenAIBackbone
from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.contracts import Remote, Request
from imug_tts.dialogue import Message, Text
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server, completion
from imug_tts.testing.closed_servers import openai_message, openai_response

SHOWN = (Message("user", (Text("Say A."),)), Message("assistant", (Text("A"),)))
ASKED = (*SHOWN, Message("user", (Text("Is it an A?"),)))
SPENT_S = 0.3
"""Time for a wrong call to reach the server. A slow machine can only hide one."""


def chat(server: ChatServer) -> Remote:
    return OpenAIChat(base_url=server.base_url, concurrency=2)


def reward(server: ChatServer) -> Remote:
    return HttpReward(url=server.base_url + "/chat/completions", model="m", concurrency=2)


def hosted(server: ChatServer) -> Remote:
    return OpenAIBackbone(base_url=server.base_url, model="m", concurrency=2)


REPLIES: dict[Callable[[ChatServer], Remote], Any] = {
    chat: completion("yes").body,
    reward: {"rewards": {"m": 1.0}},
    hosted: openai_response([openai_message({"type": "output_text", "text": "yes"})]),
}


def request(model: Remote) -> Request:
    if model.capabilities.rewards:
        return Request(history=SHOWN, modality="text", seeds=(1,), form="reward")
    return Request(history=ASKED, modality="text", seeds=(1,))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key-1234")


@pytest.mark.parametrize("build", REPLIES)
def test_no_call_is_sent_while_as_many_answers_as_slots_are_not_journaled(
    build: Callable[[ChatServer], Remote],
) -> None:
    path = "/v1/responses" if build is hosted else "/v1/chat/completions"
    body = json.dumps(REPLIES[build]).encode()
    served = chat_server(lambda n, asked: Reply(body=body), path=path)
    with served as server, ThreadPoolExecutor(4) as threads:
        model = build(server)
        asked = request(model)
        with model.answered(asked), model.answered(asked):
            others = [threads.submit(model.generate, [asked]) for _ in range(4)]
            wait(others, timeout=SPENT_S)
            assert len(server.bodies) == 2
        for other in others:
            other.result()
    assert len(server.bodies) == 6
    assert server.most_at_once <= 2


def test_a_call_that_waits_for_its_retry_leaves_its_slot_to_others() -> None:
    busy = Reply(status=429, headers={"Retry-After": "60"})
    with (
        chat_server(lambda n, body: busy if n == 0 else completion("fine")) as server,
        ThreadPoolExecutor(2) as threads,
    ):
        model = OpenAIChat(base_url=server.base_url, concurrency=1)
        calls = [threads.submit(model.generate, [request(model)]) for _ in range(2)]
        [answered] = wait(calls, return_when=FIRST_COMPLETED).done
        [[candidate]] = answered.result()
        model.interrupt()
    assert candidate.output == Text("fine")
