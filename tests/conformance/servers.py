"""Models on loopback servers that answer by all that they are told, as a faithful server would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from imug_tts.backbones.gemini import GeminiBackbone
from imug_tts.backbones.hosted import Hosted
from imug_tts.backbones.imug_server import ImugServerBackbone
from imug_tts.backbones.openai import OpenAIBackbone
from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.backbones.vllm_omni import VllmOmniBackbone
from imug_tts.backbones.vllm_omni.families import FamilyName
from imug_tts.contracts import Backbone
from imug_tts.dialogue import Image, Text
from imug_tts.infer_protocol import write_response
from imug_tts.testing import chat_server, infer_servers
from imug_tts.testing.closed_servers import ClosedServer, gemini_server, openai_server
from imug_tts.testing.conformance import Script, Subject
from imug_tts.testing.infer_servers import Asked, InferServer, infer_server, unused_url
from imug_tts.testing.omni_server import OmniServer, omni_server

__all__ = ["chat", "gemini", "infer", "infer_images", "omni", "omni_in_place", "openai"]

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


def _infer_server(delay_s: float = 0.0) -> AbstractContextManager[InferServer]:
    return infer_server(_infer_answer(delay_s), health=b'{"seeds": true}')


@contextmanager
def infer() -> Iterator[Subject]:
    """Backbone `imug_server` before a server of the /infer protocol that reads seeds."""

    @contextmanager
    def late() -> Iterator[Backbone]:
        with _infer_server(LATE_S) as server:
            yield ImugServerBackbone(urls=(server.url,), model="m", timeout_s=0.5, max_attempts=1)

    @contextmanager
    def away() -> Iterator[Backbone]:
        yield ImugServerBackbone(urls=(unused_url(),), model="m", patience_s=0.3)

    with _infer_server() as server:
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


@contextmanager
def infer_images() -> Iterator[Subject]:
    """The same for a model that is declared to draw only, behind two servers of which it asks either."""
    with _infer_server() as one, _infer_server() as two:
        yield Subject(
            backbone=ImugServerBackbone(urls=(one.url, two.url), model="m", outputs=("image",)),
            others={"urls": (two.url,), "model": "other", "outputs": ("text",)},
        )


@contextmanager
def omni() -> Iterator[Subject]:
    """Backbone `vllm_omni` before BAGEL in two stages, whose image stage sees one image."""
    with omni_server(stages=True, images=1) as server:
        yield _omni(server, "bagel")


@contextmanager
def omni_in_place() -> Iterator[Subject]:
    """The same before a model that takes every image in its place, and draws texts without a seed."""
    with omni_server(stages=False, images=9) as server:
        yield _omni(server, "sensenova_u1")


def _omni(server: OmniServer, family: FamilyName) -> Subject:
    model = VllmOmniBackbone(urls=(server.url,), model="umm", family=family)

    @contextmanager
    def late() -> Iterator[Backbone]:
        with _infer_server(LATE_S) as slow:
            yield replace(model, urls=(slow.url,), timeout_s=0.5, max_attempts=1)

    @contextmanager
    def away() -> Iterator[Backbone]:
        yield replace(model, urls=(unused_url(),), patience_s=0.3)

    return Subject(
        backbone=model,
        script=Script(refused=(Text("Tell me of the guard."),)),
        others={
            "urls": (server.url.replace("127.0.0.1", "localhost"),),
            "model": "other",
            "size": "64x64",
            "images": 0,
            "negative_prompt": "ugly",
            "extra": {"cfg_img_scale": 2.0},
            "api_key_env": "ANOTHER_KEY",
        },
        unseen={"guidance": "the loopback server draws without guidance"},
        late=late,
        away=away,
    )


@contextmanager
def openai() -> Iterator[Subject]:
    """Backbone `openai` before a server of the Responses API."""
    with _key("OPENAI_API_KEY"), openai_server() as server:
        model = OpenAIBackbone(base_url=server.url, model="gpt-5.2")
        others = {
            "image_model": "gpt-image-3",
            "quality": "low",
            "size": "512x512",
            "send_temperature": False,
        }
        yield _hosted(model, server, others)


@contextmanager
def gemini() -> Iterator[Subject]:
    """Backbone `gemini` before a server of generate_content."""
    with _key("GEMINI_API_KEY"), gemini_server() as server:
        yield _hosted(GeminiBackbone(base_url=server.url, model="gemini-3-image"), server, {})


def _hosted(model: Hosted, server: ClosedServer, others: Mapping[str, Any]) -> Subject:
    @contextmanager
    def late() -> Iterator[Backbone]:
        with _infer_server(LATE_S) as slow:
            yield replace(model, base_url=slow.url, timeout_s=0.5, max_attempts=1)

    @contextmanager
    def away() -> Iterator[Backbone]:
        yield replace(model, base_url=unused_url(), patience_s=0)

    return Subject(
        backbone=model,
        script=Script(refused=(Text("Tell me of the guard."),)),
        others={
            "base_url": server.url.replace("127.0.0.1", "localhost"),
            "model": "other",
            "api_key_env": "ANOTHER_KEY",
            **others,
        },
        late=late,
        away=away,
    )


@contextmanager
def _key(variable: str) -> Iterator[None]:
    """The key that the loopback servers ask for, under both names that a subject may be given."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (variable, "ANOTHER_KEY"):
            patch.setenv(name, "key-1234")
        yield
