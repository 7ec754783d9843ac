"""Unified models behind vLLM-Omni: BAGEL, HunyuanImage-3, SenseNova-U1, Lance, and models that edit images.

The engine flattens requests and silently ignores parts of them. Therefore this client flattens histories
itself, sends each setting to the place where the engine reads it, and requests a probe before a run. See
docs/guides/vllm_omni.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final

from imug_tts.backbones.chat_replies import BadReply, error_of, read_completion, read_models
from imug_tts.backbones.fleet import HEALTH_S, Ask, Fleet
from imug_tts.backbones.http import HttpFailure, Response
from imug_tts.backbones.retry import Transient
from imug_tts.backbones.vllm_omni.families import FAMILIES, Family, FamilyName
from imug_tts.backbones.vllm_omni.replies import (
    drawn_by_chat,
    drawn_by_images_api,
    p_yes_of,
    prompt_tokens_of,
    thought_of,
)
from imug_tts.backbones.vllm_omni.requests import CHAT, Options, Sent, image_request, text_request
from imug_tts.backbones.vllm_omni.work import bagel_nfe
from imug_tts.contracts import BackboneError, Candidate, Capabilities, ConfigurationError, Cost, Request
from imug_tts.dialogue import Text
from imug_tts.infer_protocol import shortened
from imug_tts.knobs import component, knob
from imug_tts.secrecy import key_from

__all__ = ["VllmOmniBackbone", "VllmOmniSettings"]

_VERSION: Final = "1"
_SIZE: Final = r"^[1-9]\d*x[1-9]\d*$"


@component
class VllmOmniSettings:
    """Settings of one call's image generation."""

    steps: int | None = knob("Denoising steps of an image; null: the server's default.", default=None, ge=1)
    size: str | None = knob(
        "Size of an image as WIDTHxHEIGHT; null: the server's default, or the size of the input.",
        default=None,
        pattern=_SIZE,
    )
    guidance: float | None = knob("Scale of text guidance; null: the server's default.", default=None, ge=0)


@component
class VllmOmniBackbone(Fleet):
    """A model that one or several vLLM-Omni servers serve under one name."""

    model: str = knob(
        "Name under which the servers serve the model (--served-model-name); part of every call's identity.",
        min_length=1,
        named=True,
    )
    family: FamilyName = knob(
        "Model family: selects how a history is flattened and where settings are sent. bagel: two stages; "
        "bagel_single: one process; edit: models that only edit images.",
        default="bagel",
        named=True,
    )
    steps: int | None = knob("Denoising steps of an image; null: the server's default.", default=None, ge=1)
    size: str | None = knob(
        "Size of an image as WIDTHxHEIGHT; null: the server's default, or the size of the input.",
        default=None,
        pattern=_SIZE,
    )
    guidance: float | None = knob("Scale of text guidance; null: the server's default.", default=None, ge=0)
    negative_prompt: str = knob("Negative prompt: what an image should not show.", default="")
    think: bool = knob("Whether the model writes a thought before it draws.", default=False)
    images: int | None = knob(
        "Number of newest images of the history sent for an image turn; null: all that the family accepts.",
        default=None,
        ge=0,
    )
    extra: Mapping[str, Any] = knob(
        "Further arguments of the model, e.g. {cfg_img_scale: 2.0}.", default_factory=dict
    )
    api_key_env: str = knob(
        "Environment variable that holds the servers' key, if they need one.",
        default="VLLM_API_KEY",
        runtime=True,
    )

    settings: ClassVar[type] = VllmOmniSettings
    route: ClassVar[str] = "v1"

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self._family.images
        if self.images is not None and most is not None and self.images > most:
            raise ConfigurationError(f"images is {self.images}; {self.family} accepts {most} at most")

    @property
    def _family(self) -> Family:
        return FAMILIES[self.family]

    @property
    def identity(self) -> str:
        return f"vllm_omni:{_VERSION}:{self.model}:{self.family}"

    @property
    def capabilities(self) -> Capabilities:
        family = self._family
        images = family.images if self.images is None else self.images
        return self.proven(
            Capabilities(
                outputs=family.outputs,
                reads_images=family.text_images != 0,
                draws_from_images=images != 0,
                seeds=family.seeds,
                logits=family.stages,
                max_batch=1,
                concurrent_batches=self._calls_at_once,
                context_images=images,
                limits=family.limits,
            )
        )

    def _prepared(self, request: Request) -> Ask:
        if request.modality not in self._family.outputs:
            raise BackboneError(f"{self.model} ({self.family}) outputs images only")
        [seed] = request.seeds
        make = image_request if request.modality == "image" else text_request
        options = self._options(dict(request.sampling.settings))
        sent = make(options, request, seed % 2**31)  # some engines store seeds in 32 bits
        return partial(self._ask, sent, options, request)

    def _options(self, changed: Mapping[str, Any]) -> Options:
        options = Options(
            model=self.model,
            family=self._family,
            images=self._family.images if self.images is None else self.images,
            steps=self.steps,
            size=self.size,
            guidance=self.guidance,
            negative_prompt=self.negative_prompt,
            think=self.think,
            extra=self.extra,
        )
        return replace(options, **changed)

    def _ask(self, sent: Sent, options: Options, request: Request, url: str) -> Candidate:
        started = time.perf_counter()
        response = self._post(url, sent.path, sent.body, {**sent.headers, **self._authorization})
        seconds = time.perf_counter() - started
        if response.status == 200:
            return self._read(url, sent, options, request, response.body, seconds)
        if (reason := _refusal(response)) is not None:
            reason = self._without_secrets(reason)
            return Candidate(output=None, finish="refused", reason=reason, cost=Cost(seconds=seconds))
        raise self._status_failure(url, response)

    def _read(
        self, url: str, sent: Sent, options: Options, request: Request, body: bytes, seconds: float
    ) -> Candidate:
        try:
            cost = Cost(prompt_tokens=prompt_tokens_of(body), seconds=seconds)
            if request.modality == "image":
                drawn = drawn_by_chat(body) if sent.path == CHAT else drawn_by_images_api(body)
                return Candidate(output=drawn, thought=thought_of(body), cost=cost + self._drawing(options))
            reply = read_completion(body)
        except BadReply as error:
            raise Transient(BackboneError(f"{url}: {self._without_secrets(str(error))}")) from error
        cost = replace(cost, new_tokens=reply.usage.new)
        if reply.finish == "refused":
            reason = self._without_secrets(reply.reason)
            return Candidate(output=None, finish="refused", reason=reason, cost=cost)
        p_yes = p_yes_of(body) if request.form == "yes_no" and self._family.stages else None
        return Candidate(output=Text(reply.text), finish=reply.finish, p_yes=p_yes, cost=cost)

    def _drawing(self, options: Options) -> Cost:
        """The cost of an image, derived from its settings, because the server reports none."""
        family = self._family
        steps = options.steps or family.steps
        if steps is None:
            return Cost(images=1)
        nfe = bagel_nfe(steps, options.extras) if self.family.startswith("bagel") else 0
        return Cost(images=1, denoise_steps=steps - family.skipped_steps, nfe=nfe)

    def _out_of_order(self, url: str) -> str | None:
        """The reason why the server does not answer or does not serve the model; None if it can be used."""
        if (reason := self._says_of_health(url)) is not None:
            return reason
        try:
            response = self._client.send(
                "GET", f"{url}/v1/models", headers=self._authorization, timeout_s=HEALTH_S
            )
        except HttpFailure as error:
            return f"no answer to GET /v1/models: {error}"
        if response.status in (401, 403):
            return f"GET /v1/models: HTTP status {response.status} (the key is read from ${self.api_key_env})"
        served = read_models(response)
        if served and self.model not in served:
            return f"it serves {', '.join(served)}, not {self.model}"
        return None

    @property
    def _authorization(self) -> dict[str, str]:
        """The authorization header. The key is read from the environment at every call and stored nowhere."""
        key = key_from(self.api_key_env)
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _without_secrets(self, said: str) -> str:
        key = key_from(self.api_key_env)
        return shortened(said.replace(key, "[key]") if key else said)


def _refusal(response: Response) -> str | None:
    """The message of a guardrail that stopped the call; None for any other failure."""
    error = error_of(response)
    if response.status == 400 and "guardrail" in json.dumps(error).lower():
        return str(error.get("message") or error)
    return None
