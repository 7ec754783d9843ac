"""Servers that repeat the key that they were sent, whole or where a message about them is cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imug_tts.backbones.gemini import GeminiBackbone
from imug_tts.backbones.http_reward import HttpReward
from imug_tts.backbones.openai import OpenAIBackbone
from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.backbones.vllm_omni import VllmOmniBackbone
from imug_tts.contracts import Backbone, BackboneError, Form, Request, Sampling
from imug_tts.dialogue import Message, Text
from imug_tts.testing.json_server import JsonRequest, JsonResponse, serving

KEY = "sk-0123456789abcdefghijklmnopqrstuvwxyz"
VARIABLES = ("REWARD_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "VLLM_API_KEY")
ONCE: dict[str, Any] = {"model": "m", "max_attempts": 1, "patience_s": 0.01}
CLIENTS: dict[str, Callable[[str], Backbone]] = {
    "http_reward": lambda url: HttpReward(url=url, api_key_env="REWARD_API_KEY", **ONCE),
    "openai_chat": lambda url: OpenAIChat(base_url=url, **ONCE),
    "openai": lambda url: OpenAIBackbone(base_url=url, **ONCE),
    "gemini": lambda url: GeminiBackbone(base_url=url, **ONCE),
    "vllm_omni": lambda url: VllmOmniBackbone(urls=(url,), **ONCE),
}
Script = list[JsonResponse]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, KEY)


@pytest.fixture
def server() -> Iterator[tuple[str, Script]]:
    script: Script = []

    def answer(asked: JsonRequest) -> JsonResponse:
        return script[0]

    with serving(answer) as url:
        yield url, script


def told(model: Backbone) -> str:
    """All that a call comes to, in words."""
    form: Form = "reward" if isinstance(model, HttpReward) else "free"
    history = (Message("user", (Text("hi"),)), Message("assistant", (Text("yes"),)))
    request = Request(
        history=history, modality="text", seeds=(1,), form=form, sampling=Sampling(max_tokens=16)
    )
    try:
        return repr(model.generate([request]))
    except BackboneError as error:
        return str(error)


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("status", [200, 400, 403, 422])
def test_no_message_holds_a_key_or_its_beginning(name: str, status: int, server: tuple[str, Script]) -> None:
    url, script = server
    model = CLIENTS[name](url)
    for padding in (0, *range(430, 500, 7)):
        said = "x" * padding + KEY
        for body in ({"detail": said}, {"error": {"message": said, "code": status, "status": "X"}}):
            script[:] = [JsonResponse(status, body)]
            assert KEY[:12] not in told(model)


@pytest.mark.parametrize("name", ["openai_chat", "vllm_omni"])
@pytest.mark.parametrize("field", ["content", "refusal"])
def test_no_answer_and_no_refusal_holds_a_key(name: str, field: str, server: tuple[str, Script]) -> None:
    url, script = server
    message = {"role": "assistant", "content": None, field: f"You sent {KEY}."}
    script[:] = [JsonResponse(200, {"choices": [{"message": message, "finish_reason": "stop"}]})]
    assert "You sent [key]." in told(CLIENTS[name](url))
