"""OpenAI's models: texts through the Responses API, images through its image generation tool.

Images of the assistant are sent in user messages, because the API accepts an assistant's images only if it
made them itself. There are no seeds: each candidate is a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, Literal

from imug_tts.backbones.chat_messages import data_url, with_images_from_users
from imug_tts.backbones.hosted import Hosted, transport_over
from imug_tts.backbones.openai.replies import image_usage, read, usage
from imug_tts.contracts import Candidate, Capabilities, ConfigurationError, Request
from imug_tts.dialogue import Message, Part, Text
from imug_tts.knobs import component, knob

__all__ = ["OpenAIBackbone", "OpenAISettings"]

_VERSION: Final = "1"
_REFUSALS: Final = frozenset(["moderation_blocked", "content_policy_violation", "content_filter"])
_LEAST_TOKENS: Final = 16
"""The API's minimum for the token limit."""
_LIMITS: Final = (
    "Earlier images of the assistant are sent to it as images of the user.",
    "Its provider may change the model under its name.",
)
Quality = Literal["low", "medium", "high", "auto"]


@component
class OpenAISettings:
    """Settings of one call."""

    quality: Quality = knob("Quality of images.", default="auto")
    size: str = knob("Size of images as WIDTHxHEIGHT, or auto.", default="auto", pattern=r"^(auto|\d+x\d+)$")


@component
class OpenAIBackbone(Hosted):
    """An OpenAI model that writes, with the image model that draws for it."""

    image_model: str = knob("The model that draws.", default="gpt-image-2", min_length=1)
    quality: Quality = knob("Quality of images.", default="auto")
    size: str = knob("Size of images as WIDTHxHEIGHT, or auto.", default="auto", pattern=r"^(auto|\d+x\d+)$")
    send_temperature: bool = knob(
        "Whether to send the temperature of texts; false for models that reject one.", default=True
    )

    settings: ClassVar[type] = OpenAISettings

    @property
    def identity(self) -> str:
        return f"openai:{_VERSION}:{self.model}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=True,
            draws_from_images=True,
            seeds="none",
            logits=False,
            max_batch=1,
            concurrent_batches=self.concurrency,
            limits=_LIMITS,
        )

    @property
    def _priced(self) -> Sequence[str]:
        return (self.model, self.image_model)

    @cached_property
    def _sdk(self) -> Any:
        try:
            import httpx2

            import openai
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"{error.name} is missing; run: pip install 'imug_tts[apis]'") from error
        return openai.OpenAI(
            api_key=self._key,
            base_url=self.base_url,
            max_retries=0,
            timeout=self.timeout_s,
            http_client=httpx2.Client(transport=transport_over(self._calls.client, httpx2)),
        )

    def _ask_for_model(self) -> None:
        self._guarded(lambda: self._sdk.models.retrieve(self.model))

    def _call(self, request: Request) -> Candidate:
        response = self._guarded(lambda: self._sdk.responses.create(**self._arguments(request)))
        if isinstance(response, Candidate):
            return response
        try:
            answer = read(response, request.modality == "image")
        except ValueError as error:
            raise self._status_failure(500, str(error), {}) from error
        used = {self.model: usage(response)}
        if request.modality == "image":
            used[self.image_model] = image_usage(response)
        return self._candidate(*answer, used, source=f"{response.model} {response.id}")

    def _arguments(self, request: Request) -> dict[str, Any]:
        """The arguments of the API call; `store` is false, so the provider keeps nothing."""
        shared = {
            "model": self.model,
            "input": [_item(message) for message in with_images_from_users(request.history)],
            "store": False,
        }
        if request.modality == "image":
            asked = {"quality": self.quality, "size": self.size, **dict(request.sampling.settings)}
            tool = {"type": "image_generation", "model": self.image_model, "output_format": "png", **asked}
            return {**shared, "tools": [tool], "tool_choice": {"type": "image_generation"}}
        limited = {**shared, "max_output_tokens": max(_LEAST_TOKENS, request.sampling.max_tokens)}
        return {**limited, "temperature": request.sampling.temperature} if self.send_temperature else limited

    def _guarded(self, call: Any) -> Any:
        """The result of a call of the package; a refusal status becomes a candidate, another one our own
        error.
        """
        _ = self._sdk  # raises if the package is missing
        import openai

        try:
            return call()
        except openai.APIStatusError as error:
            if error.code in _REFUSALS:
                return self._candidate(None, "refused", error.message, {}, source=self.model)
            raise self._status_failure(error.status_code, error.message, error.response.headers) from error


def _item(message: Message) -> dict[str, Any]:
    if message.role == "user":
        return {"role": "user", "content": [_content(part) for part in message.parts]}
    texts = [part.text for part in message.parts if isinstance(part, Text)]
    return {"role": message.role, "content": "\n".join(texts)}


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    return {"type": "input_image", "image_url": data_url(part).decode(), "detail": "auto"}
