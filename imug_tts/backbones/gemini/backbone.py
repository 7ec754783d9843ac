"""Google's Gemini models that write and draw, through generate_content.

Images of the assistant are sent in the model's own turns. The provider calls its seeds best effort.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from imug_tts.backbones.chat_messages import typed
from imug_tts.backbones.gemini.replies import read, response_id, usage
from imug_tts.backbones.hosted import Hosted, transport_over
from imug_tts.contracts import Candidate, Capabilities, ConfigurationError, Request
from imug_tts.dialogue import Message, Part, Text
from imug_tts.knobs import component, knob

__all__ = ["GeminiBackbone"]

_VERSION: Final = "1"
_LIMITS: Final = ("Its provider may change the model under its name.",)


@component
class GeminiBackbone(Hosted):
    """A Gemini model. Whether it can draw depends on the model; gemini-2.5-flash-image, for example, can."""

    send_seed: bool = knob("Whether to send the seed; false for models that reject one.", default=True)
    api_key_env: str = knob(
        "Environment variable that holds the key.", default="GEMINI_API_KEY", runtime=True
    )

    @property
    def identity(self) -> str:
        return f"gemini:{_VERSION}:{self.model}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=True,
            draws_from_images=True,
            seeds="best_effort" if self.send_seed else "none",
            logits=False,
            max_batch=1,
            concurrent_batches=self.concurrency,
            limits=_LIMITS,
        )

    @property
    def _priced(self) -> Sequence[str]:
        return (self.model,)

    @cached_property
    def _sdk(self) -> Any:
        try:
            import httpx
            from google import genai
        except (ModuleNotFoundError, ImportError) as error:
            raise ConfigurationError("google-genai is missing; run: pip install 'imug_tts[apis]'") from error
        options: Any = {
            "base_url": self.base_url,
            "timeout": int(1000 * self.timeout_s),
            "client_args": {"transport": transport_over(self._calls.client, httpx, self._keep)},
        }
        return genai.Client(api_key=self._key, http_options=options)

    @cached_property
    def _last(self) -> threading.local:
        """The body of the last response in this thread: the package drops the response id in it."""
        return threading.local()

    def _keep(self, body: bytes) -> None:
        self._last.body = body

    def _ask_for_model(self) -> None:
        self._guarded(lambda: self._sdk.models.get(model=self.model))

    def _call(self, request: Request) -> Candidate:
        contents = [_content(message) for message in request.history if message.role != "system"]
        response = self._guarded(
            lambda: self._sdk.models.generate_content(
                model=self.model, contents=contents, config=self._config(request)
            )
        )
        answer = read(response, request.modality)
        source = f"{response.model_version or self.model} {response_id(self._last.body)}".strip()
        return self._candidate(
            answer.output,
            answer.finish,
            answer.reason,
            {self.model: usage(response, answer.output)},
            thought=answer.thought,
            source=source,
        )

    def _config(self, request: Request) -> dict[str, Any]:
        [seed] = request.seeds
        system = [
            p.text for m in request.history if m.role == "system" for p in m.parts if isinstance(p, Text)
        ]
        config: dict[str, Any] = {
            "temperature": request.sampling.temperature,
            "response_modalities": ["TEXT", "IMAGE"] if request.modality == "image" else ["TEXT"],
        }
        if request.modality == "text":
            config["max_output_tokens"] = request.sampling.max_tokens
        if system:
            config["system_instruction"] = "\n".join(system)
        if self.send_seed:
            config["seed"] = seed % 2**31  # the API stores seeds as signed 32-bit integers
        return config

    def _guarded(self, call: Any) -> Any:
        """The result of a call of the package; an error status becomes one of our own errors."""
        _ = self._sdk  # raises if the package is missing
        from google.genai import errors

        try:
            return call()
        except errors.APIError as error:
            headers = getattr(error.response, "headers", {})
            raise self._status_failure(error.code, str(error.message or error.status), headers) from error


def _content(message: Message) -> dict[str, Any]:
    """A message in the provider's format; messages of the assistant have the role "model"."""
    role = "model" if message.role == "assistant" else "user"
    return {"role": role, "parts": [_part(part) for part in message.parts]}


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    mime, data = typed(part)
    return {"inline_data": {"mime_type": mime, "data": data}}
