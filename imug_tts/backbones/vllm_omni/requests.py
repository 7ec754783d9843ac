"""The requests to vLLM-Omni. Comments explain each workaround where it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from urllib3.filepost import encode_multipart_formdata

from imug_tts.backbones.chat_messages import encoded, messages
from imug_tts.backbones.vllm_omni.families import Family
from imug_tts.backbones.vllm_omni.flattening import Flat, chat_frame, flattened, with_fewer_images
from imug_tts.contracts import Request
from imug_tts.json_images import reading

__all__ = ["CHAT", "Options", "Sent", "image_request", "text_request"]

CHAT: Final = "v1/chat/completions"
_GENERATIONS: Final = "v1/images/generations"
_EDITS: Final = "v1/images/edits"
_JSON: Final = {"Content-Type": "application/json"}
_TOP: Final = 20
"""Number of token probabilities to request for the first token of a yes/no reply."""
_THINK: Final = (
    "First think about what the image must show, between <think> and </think>. Then draw the image.\n"
)


class Sent(NamedTuple):
    """One HTTP request."""

    path: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one call: the backbone's knobs, overridden by the settings of the call."""

    model: str
    family: Family
    images: int | None
    """Number of images of the history sent for an image turn."""
    steps: int | None
    size: str | None
    guidance: float | None
    negative_prompt: str
    think: bool
    extra: Mapping[str, Any]

    @property
    def pixels(self) -> dict[str, int]:
        """Width and height as fields of a request; empty without a size."""
        return (
            {}
            if self.size is None
            else dict(zip(("width", "height"), map(int, self.size.split("x")), strict=True))
        )

    @property
    def extras(self) -> dict[str, Any]:
        """The model's extra arguments; those of `extra` take precedence."""
        own = {self.family.guidance: self.guidance} if self.family.extra_guidance else {}
        thinks = {"think": True} if self.think and not self.family.stages else {}
        return {**_given(own), **thinks, **self.extra}

    @property
    def diffusion(self) -> dict[str, Any]:
        """The fields for the image model, at every endpoint."""
        own = {} if self.family.extra_guidance else {self.family.guidance: self.guidance}
        return _given(
            {"num_inference_steps": self.steps, "negative_prompt": self.negative_prompt or None, **own}
        )


def image_request(options: Options, request: Request, seed: int) -> Sent:
    """The request for an image. Raises BackboneError if an image of the history cannot be read."""
    family = options.family
    flat = flattened(request.history, options.images, mark=family.mark, roles=family.roles)
    if family.images_api:
        return _to_images_api(options, flat, seed)
    if options.think and family.stages:
        flat = flat._replace(text=_THINK + flat.text)
    frame = {
        "model": options.model,
        "messages": chat_frame(flat, family.around),
        # Without it the engine generates all modalities.
        "modalities": ["text", "image"] if options.think and family.stages else ["image"],
        **options.pixels,
        **(_by_stage(options, request, seed) if family.stages else _at_root(options, seed)),
    }
    return Sent(CHAT, encoded(frame), _JSON)


def text_request(options: Options, request: Request, seed: int) -> Sent:
    """The request for a text; a yes/no question also requests the probabilities of the first token, if
    supported.
    """
    family = options.family
    if family.stages:
        shown = list(messages(with_fewer_images(request.history, family.text_images)))
    else:
        flat = flattened(request.history, family.text_images, mark=family.mark, roles=family.roles)
        shown = chat_frame(flat, ("", ""))
    frame = {
        "model": options.model,
        "messages": shown,
        "modalities": ["text"],  # without it the engine also draws
        "max_tokens": request.sampling.max_tokens,  # not max_completion_tokens, which the engine ignores
        **(_text_by_stage(request, seed) if family.stages else _text_at_root(options, request, seed)),
    }
    return Sent(CHAT, encoded(frame), _JSON)


def _by_stage(options: Options, request: Request, seed: int) -> dict[str, Any]:
    """Settings of each stage separately, because the root's seed and guidance never reach the image stage."""
    draws = {"seed": seed, **options.diffusion, **({"extra_args": options.extras} if options.extras else {})}
    return {"sampling_params_list": [_language(request, seed), draws]}


def _at_root(options: Options, seed: int) -> dict[str, Any]:
    extras = {"extra_args": options.extras} if options.extras else {}
    return {"seed": seed, **options.diffusion, **extras}


def _language(request: Request, seed: int) -> dict[str, Any]:
    """Settings of the language model, whose own defaults are greedy (top_k 1) with a fixed seed."""
    return {
        "seed": seed,
        "temperature": request.sampling.temperature,
        "top_p": 1.0,
        "top_k": -1,
        "repetition_penalty": 1.0,
        "max_tokens": request.sampling.max_tokens,
    }


def _text_by_stage(request: Request, seed: int) -> dict[str, Any]:
    stage = _language(request, seed)
    if request.form != "yes_no":
        return {"sampling_params_list": [stage]}
    # Only at the root they cause status 500; only in the stage they are not returned.
    return {"sampling_params_list": [{**stage, "logprobs": _TOP}], "logprobs": True, "top_logprobs": _TOP}


def _text_at_root(options: Options, request: Request, seed: int) -> dict[str, Any]:
    temperature, most = request.sampling.temperature, request.sampling.max_tokens
    samples = {
        "do_sample": temperature > 0,
        "temperature": temperature,
        "text_temperature": temperature,
        "max_think_tokens": most,
    }
    return {"seed": seed, "temperature": temperature, "extra_args": {**samples, **options.extra}}


def _to_images_api(options: Options, flat: Flat, seed: int) -> Sent:
    """The request for an image of several stages at /v1/images/*, where the seed reaches all stages."""
    fields = {
        "model": options.model,
        "prompt": flat.text,
        "n": 1,
        "seed": seed,
        "response_format": "b64_json",
        "bot_task": "think" if options.think else "image",
        **_given({"size": options.size}),
        **options.diffusion,
        **options.extra,
    }
    if not flat.images:
        return Sent(_GENERATIONS, json.dumps(fields).encode(), _JSON)
    parts: list[tuple[str, Any]] = [(name, str(value)) for name, value in fields.items()]
    for number, image in enumerate(flat.images, 1):
        with reading(image):
            parts.append(("image[]", (f"{number}.png", image.read(), "image/png")))
    body, kind = encode_multipart_formdata(parts)
    return Sent(_EDITS, body, {"Content-Type": kind})


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value; the server chooses the others."""
    return {name: value for name, value in fields.items() if value is not None}
