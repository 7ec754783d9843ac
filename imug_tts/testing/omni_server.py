"""A server on 127.0.0.1 with vLLM-Omni's protocol and the pitfalls of its source code.

It draws a shade that is a hash of everything that reaches its image model, and writes a hash of everything
that reaches its language model. The pitfalls: the root's seed only reaches the language model, which is
greedy unless `top_k` is sent; an image turn reads user texts and one image; without `modalities` all
modalities are generated; probabilities requested in only one place cause status 500. `Faults` are those of
servers that were started or patched wrongly.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final, Literal

from imug_tts.testing.infer_servers import drawn
from imug_tts.testing.json_server import JsonRequest, JsonResponse, serving

__all__ = ["Faults", "OmniServer", "omni_server"]

Json = dict[str, Any]
_YAML_SEED: Final = 52
"""The seed of the image stage if the request gives it none."""
_TOP: Final = (("Yes", -0.5), (" yes", -3.0), ("No", -1.5), ("A", -4.0))
"""Log-probabilities of the first token."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Faults of a server in addition to the pitfalls of the engine."""

    ignores_seed: bool = False
    """The image model draws every image with the same seed."""
    forgets_assistant: bool = False
    """The image model ignores the assistant's texts, even inside the user's text."""
    sees: Literal["all", "first", "none"] = "all"
    """Which of the images that the topology passes on reach the image model."""
    draws_nothing: bool = False
    """Image turns get status 200 with a text."""


@dataclass
class OmniServer:
    """A running server with its configuration, and its requests in order of arrival."""

    stages: bool = True
    """Whether the server has two stages, like BAGEL; else it is one process, like SenseNova-U1."""
    images: int = 1
    """Maximum number of images of an image turn."""
    faults: Faults = field(default_factory=Faults)
    model: str = "umm"
    key: str = ""
    """The key that the server requires; empty for none."""
    url: str = ""
    asked: list[tuple[str, Json]] = field(default_factory=list)
    """Path and body of each request; for a form, its fields with the pictures under "images"."""

    @property
    def bodies(self) -> list[Json]:
        return [body for _, body in self.asked]

    def reply(self, path: str, body: Json) -> tuple[int, Json]:
        self.asked.append((path, body))
        if body.get("model") != self.model:
            return _error(404, f"the model {body.get('model')!r} does not exist")
        if path.startswith("/v1/images/"):
            return self._images_api(body)
        if "guard" in json.dumps(body.get("messages")):
            return _error(400, "stopped", "GuardrailViolationError")
        outputs = body.get("modalities", ["text", "image"])
        choices = [self._image_choice(body)] if "image" in outputs else []
        if "text" not in outputs:
            return 200, {"choices": choices, "usage": _usage(0, 0)}
        if self.stages and bool(body.get("logprobs")) != bool(_stage(body, 0).get("logprobs")):
            return _error(500, "AssertionError")
        if self.stages and len(_images(body["messages"])) > 1:
            return _error(400, "at most 1 image may be provided in one prompt")
        return 200, {"choices": [self._text_choice(body), *choices], "usage": _usage(20, 5)}

    def _image_choice(self, body: Json) -> Json:
        users = [message for message in body["messages"] if message["role"] == "user"]
        texts = " ".join(part["text"] for message in users for part in _parts(message) if "text" in part)
        settings = _stage(body, 1) if self.stages else body
        images = _images(users)[: self.images]
        return _choice(self._drawn(texts, images, settings, body))

    def _images_api(self, body: Json) -> tuple[int, Json]:
        drawn_parts = self._drawn(body["prompt"], body.get("images", []), body, body)
        if "image_url" not in drawn_parts[0]:
            return 200, {"data": []}
        encoded = drawn_parts[0]["image_url"]["url"].partition(",")[2]
        return 200, {"data": [{"b64_json": encoded}], "cot_output": "a plan"}

    def _drawn(self, text: str, images: Sequence[str], settings: Mapping[str, Any], body: Json) -> list[Json]:
        if self.faults.draws_nothing:
            return [{"type": "text", "text": "Image generation completed but no images were produced."}]
        if self.faults.forgets_assistant:
            text = "\n".join(line for line in text.split("\n") if not line.startswith("Assistant:"))
        seen = {"all": images, "first": images[:1], "none": []}[self.faults.sees]
        seed = _YAML_SEED if self.faults.ignores_seed else settings.get("seed", _YAML_SEED)
        steps = settings.get("num_inference_steps")
        size = [body.get("width"), body.get("height")]
        shade = hashlib.sha256(json.dumps([text, list(seen), seed, steps, size]).encode()).digest()[0]
        url = "data:image/png;base64," + base64.b64encode(drawn(shade)).decode()
        return [{"type": "image_url", "image_url": {"url": url}, "stage_durations": {}}]

    def _text_choice(self, body: Json) -> Json:
        """Return the choice of a text turn.

        As in vLLM-Omni, a server with stages reads the messages of all roles and honours the seed. A server
        without stages reads only user messages and has no seed.
        """
        read = body["messages"] if self.stages else [m for m in body["messages"] if m["role"] == "user"]
        settings = _stage(body, 0)
        greedy = not settings.get("temperature", 0.4) or settings.get("top_k", 1) == 1
        if not self.stages:
            greedy = not body.get("extra_args", {}).get("do_sample")
        own_seed = settings.get("seed", _YAML_SEED) if self.stages else len(self.asked)
        seed = 0 if greedy else own_seed
        digest = hashlib.sha256(json.dumps([read, seed]).encode()).hexdigest()
        most: int = {"max_tokens": 2048, **body, **settings}["max_tokens"]
        choice = _choice(f"{'Yes' if int(digest[0], 16) % 2 else 'No'} {digest}"[: 4 * most])
        if settings.get("logprobs"):
            top = [
                {"token": token, "logprob": p} for token, p in (("Yes", -0.5), (" yes", -3.0), ("No", -1.5))
            ]
            choice["logprobs"] = {"content": [{"token": "Yes", "logprob": -0.5, "top_logprobs": top}]}
        return choice


@contextmanager
def omni_server(**settings: Any) -> Iterator[OmniServer]:
    """A server in threads of this process, until the block ends."""
    server = OmniServer(**settings)

    def answer(asked: JsonRequest) -> JsonResponse:
        if asked.path == "/health":
            return JsonResponse(200, {})
        sent = asked.headers.get("authorization", "")
        if server.key and sent != f"Bearer {server.key}":
            return JsonResponse(*_error(401, f"Unauthorized: {sent}"))
        if asked.path == "/v1/models":
            return JsonResponse(200, {"object": "list", "data": [{"id": server.model}]})
        kind = asked.headers["content-type"]
        body = json.loads(asked.content) if kind == "application/json" else _form(kind, asked.content)
        return JsonResponse(*server.reply(asked.path, body))

    with serving(answer) as url:
        server.url = url
        yield server


def _form(kind: str, content: bytes) -> Json:
    """The fields of a multipart form, as an images endpoint reads them."""
    message = BytesParser(policy=HTTP).parsebytes(f"content-type: {kind}\r\n\r\n".encode() + content)
    fields: Json = {"images": []}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        if name == "image[]":
            fields["images"].append(base64.b64encode(payload).decode())
        else:
            fields[name] = payload.decode()
    return fields


def _stage(body: Json, number: int) -> Json:
    """The settings of a stage; omitted ones are the server's defaults."""
    stages = body.get("sampling_params_list", [])
    own: Json = stages[number] if number < len(stages) else {}
    root: Json = {key: body[key] for key in ("temperature", "seed", "max_tokens") if key in body}
    return own if own or number else root


def _parts(message: Json) -> list[Json]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _images(messages: Sequence[Json]) -> list[str]:
    """The images that are sent as data URLs; others are ignored."""
    urls = [p["image_url"]["url"] for m in messages for p in _parts(m) if "image_url" in p]
    return [url for url in urls if url.startswith("data:image")]


def _choice(content: Any) -> Json:
    return {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}


def _usage(prompt: int, new: int) -> Json:
    return {"prompt_tokens": prompt, "completion_tokens": new, "total_tokens": prompt + new}


def _error(status: int, message: str, kind: str = "BadRequestError") -> tuple[int, Json]:
    return status, {"error": {"message": message, "type": kind, "code": status}}
