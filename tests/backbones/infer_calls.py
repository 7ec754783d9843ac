"""A client of /infer servers, and requests to send with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imug_tts.backbones.imug_server import ImugServerBackbone
from imug_tts.contracts import Request, Sampling
from imug_tts.dialogue import Message, Modality, Text
from imug_tts.testing.infer_servers import InferServer

__all__ = ["asking", "client"]


def asking(text: str, modality: Modality = "image", *, seeds: Sequence[int] = (0,)) -> Request:
    history = (Message("user", (Text(text),)),)
    return Request(history=history, modality=modality, seeds=tuple(seeds), sampling=Sampling(temperature=0.7))


def client(*servers: InferServer | str, **knobs: Any) -> ImugServerBackbone:
    urls = [server if isinstance(server, str) else server.url for server in servers]
    return ImugServerBackbone(
        **{"urls": urls, "model": "toy-1", "timeout_s": 5.0, "patience_s": 1.0, **knobs}
    )
