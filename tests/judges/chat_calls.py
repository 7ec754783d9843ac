"""A call to a chat endpoint."""

from __future__ import annotations

from typing import Any

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.contracts import Candidate, Request, Sampling
from imug_tts.dialogue import Message, Text
from imug_tts.testing.chat_server import ChatServer

__all__ = ["ASKED", "ask"]

ASKED = (Message("user", (Text("What is it?"),)),)


def ask(server: ChatServer, history: tuple[Message, ...] = ASKED, seed: int = 5, **knobs: Any) -> Candidate:
    request = Request(
        history=history, modality="text", seeds=(seed,), sampling=Sampling(temperature=0.1, max_tokens=9)
    )
    knobs = {"base_url": server.base_url, "model": "judge", **knobs}
    [[candidate]] = OpenAIChat(**knobs).generate([request])
    return candidate
