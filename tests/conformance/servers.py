"""Models on loopback servers that answer by all that they are told, as a faithful server would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from imug_tts.backbones.imug_server import ImugServerBackbone
from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.contracts import Backbone
from imug_tts.dialogue import Image, Text
from imug_tts.infer_protocol import write_response
from imug_tts.testing import chat_server, infer_servers
from imug_tts.testing.conformance import Script, Subject
from imug_tts.testing.infer_servers import Asked, infer_server, unused_url

__all__ = ["chat", "infer"]

LATE_S: Final = 3.0
_REFUSED: Final = "Draw what you must not draw."


def _image(digest: str) -> Image:
    return Image.from_pixels(np.random.default_rng(int(digest, 16)).integers(0, 256, (8, 8, 3), np.uint8))


def _infer_answer(delay_s: float) -> Callable[[Asked], infer_servers.Reply]:
    def answer(asked: Asked) -> infer_servers.Reply:
        part = (
            write_response(_image(asked.digest))
            if asked.wants_image
            else {"response": {"text": asked.digest}}
        )
        return infer_servers.Reply(body=json.dumps(part).encode(), delay_s=delay_s)

    return answer


@contextmanager
def infer() -> Iterator[Subject]:
    """Backbone `imug_server` before a server of the /infer protocol that reads seeds."""

    @contextmanager
    def late() -> Iterator[Backbone]:
        with infer_server(_infer_answer(LATE_S), health=b'{"seeds": true}') as server:
            yield ImugServerBackbone(urls=(server.url,), model="m", timeout_s=0.5, max_attempts=1)

    @contextmanager
    def away() -> Iterator[Backbone]:
        yield ImugServerBackbone(urls=(unused_url(),), model="m", patience_s=0.3)

    with infer_server(_infer_answer(0.0), health=b'{"seeds": true}') as server:
        yield Subject(
            backbone=ImugServerBackbone(urls=(server.url,), model="m"),
            others={
                "urls": (server.url.replace("127.0.0.1", "localhost"),),
                "model": "other",
                "outputs": ("image",),
            },
            late=late,
            away=away,
        )


def _chat_reply(delay_s: float) -> Callable[[int, dict[str, Any]], chat_server.Reply]:
    def reply(number: int, body: dict[str, Any]) -> chat_server.Reply:
        del number
        told = {key: value for key, value in body.items() if key != "model"}
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        if _REFUSED in json.dumps(body):
            return chat_server.completion(None, refusal="It is not allowed.", delay_s=delay_s)
        return chat_server.completion(digest, delay_s=delay_s)

    return reply


@contextmanager
def chat() -> Iterator[Subject]:
    """Backbone `openai_chat` before a chat endpoint."""

    @contextmanager
    def late() -> Iterator[Backbone]:
        with chat_server.chat_server(_chat_reply(LATE_S)) as server:
            yield OpenAIChat(base_url=server.base_url, model="grader", timeout_s=0.5, max_attempts=1)

    @contextmanager
    def away() -> Iterator[Backbone]:
        yield OpenAIChat(base_url=f"{unused_url()}/v1", model="grader", patience_s=0)

    with chat_server.chat_server(_chat_reply(0.0), models=("grader", "other")) as server:
        yield Subject(
            backbone=OpenAIChat(base_url=server.base_url, model="grader"),
            script=Script(refused=(Text(_REFUSED),)),
            others={
                "model": "other",
                "base_url": server.base_url.replace("127.0.0.1", "localhost"),
                "api_key_env": "ANOTHER_KEY",
            },
            late=late,
            away=away,
        )
