"""Servers on 127.0.0.1 with the protocols of OpenAI's Responses API and Gemini's generate_content.

Answers are hashes of the requests; OpenAI's differ at every call. A request that contains "guard" is refused.
A script of responses takes precedence: one response per call, either an error status or a whole body.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from imug_tts.testing.infer_servers import drawn
from imug_tts.testing.json_server import JsonRequest, JsonResponse, serving

__all__ = [
    "ClosedServer",
    "gemini_response",
    "gemini_server",
    "openai_message",
    "openai_response",
    "openai_server",
]

Json = dict[str, Any]


@dataclass
class ClosedServer:
    """A running server, and the requests that it got."""

    key: str = "key-1234"
    script: list[JsonResponse] = field(default_factory=list)
    url: str = ""
    bodies: list[Json] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def record(self, asked: JsonRequest) -> Json:
        body: Json = json.loads(asked.content)
        self.bodies.append(body)
        self.paths.append(asked.path)
        return body


def _digest(*told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _drawn(digest: str) -> str:
    """A picture in base64."""
    return base64.b64encode(drawn(int(digest[:2], 16))).decode()


@contextmanager
def openai_server(**settings: Any) -> Iterator[ClosedServer]:
    """A server of the Responses API, with its base address at `url`."""
    server = ClosedServer(**settings)

    def answer(asked: JsonRequest) -> JsonResponse:
        if asked.headers.get("authorization") != f"Bearer {server.key}":
            shown = asked.headers.get("authorization", "").removeprefix("Bearer ")
            return JsonResponse(
                401, {"error": {"message": f"Incorrect API key provided: {shown}", "code": "invalid"}}
            )
        if asked.method == "GET":
            model = asked.path.rpartition("/")[2]
            known = {"id": model, "object": "model", "created": 0, "owned_by": "openai"}
            missing = {"error": {"message": f"The model {model!r} does not exist", "code": "model_not_found"}}
            return JsonResponse(404, missing) if model == "unknown" else JsonResponse(200, known)
        body = server.record(asked)
        if server.script:
            return server.script.pop(0)
        if "guard" in json.dumps(body["input"]):
            refusal = openai_message({"type": "refusal", "refusal": "It is not allowed."})
            return JsonResponse(200, openai_response([refusal]))
        number, draws = len(server.bodies), "tools" in body
        text = {"type": "output_text", "text": f"A {_digest(number, body)}"}
        item = _image_call(_digest(number, body)) if draws else openai_message(text)
        return JsonResponse(200, openai_response([item], number=number, draws=draws))

    with serving(answer) as url:
        server.url = f"{url}/v1"
        yield server


def openai_response(output: list[Json], *, number: int = 1, draws: bool = False, **more: Any) -> Json:
    """A response with 1000 prompt tokens, of which 400 are cached, and 50 new tokens."""
    drawing = {
        "input_tokens": 300,
        "output_tokens": 4000,
        "total_tokens": 4300,
        "input_tokens_details": {"image_tokens": 200, "text_tokens": 100},
    }
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5.2-2026-08-01",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": "completed",
        "usage": {
            "input_tokens": 1000,
            "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 0},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 1050,
        },
        **({"tool_usage": {"image_gen": drawing}} if draws else {}),
        **more,
    }


def openai_message(part: Json) -> Json:
    """An output item with one part."""
    content = [{"annotations": [], **part}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}


def _image_call(digest: str) -> Json:
    return {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": _drawn(digest)}


@contextmanager
def gemini_server(**settings: Any) -> Iterator[ClosedServer]:
    """A server of generate_content, with its base address at `url`."""
    server = ClosedServer(**settings)

    def answer(asked: JsonRequest) -> JsonResponse:
        if asked.headers.get("x-goog-api-key") != server.key:
            shown = asked.headers.get("x-goog-api-key", "")
            said = {"code": 403, "message": f"bad key {shown}", "status": "PERMISSION_DENIED"}
            return JsonResponse(403, {"error": said})
        if asked.method == "GET":
            return JsonResponse(200, {"name": "models/gemini-3-image", "version": "1"})
        body = server.record(asked)
        if server.script:
            return server.script.pop(0)
        if "guard" in json.dumps(body["contents"]):
            return JsonResponse(200, gemini_response([], ended="PROHIBITED_CONTENT"))
        wants_image = "IMAGE" in body["generationConfig"]["responseModalities"]
        digest = _digest(asked.path, body)
        image = {"inlineData": {"mimeType": "image/png", "data": _drawn(digest)}}
        answered: Json = image if wants_image else {"text": f"A {digest}"}
        parts: list[Json] = [{"text": "plan", "thought": True}, answered]
        return JsonResponse(200, gemini_response(parts, images=1290 if wants_image else 0))

    with serving(answer) as url:
        server.url = url
        yield server


def gemini_response(parts: list[Json], *, ended: str = "STOP", images: int = 0) -> Json:
    """A response with 1000 prompt tokens, of which 400 are cached, 20 thought tokens and 50 written
    tokens.
    """
    details = [{"modality": "IMAGE", "tokenCount": images}] if images else []
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": ended, "index": 0}],
        "modelVersion": "gemini-3-image-001",
        "responseId": "abc",
        "usageMetadata": {
            "promptTokenCount": 1000,
            "cachedContentTokenCount": 400,
            "candidatesTokenCount": 50 + images,
            "candidatesTokensDetails": details,
            "thoughtsTokenCount": 20,
            "totalTokenCount": 1070 + images,
        },
    }
