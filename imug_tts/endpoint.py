"""The knobs of an OpenAI-compatible endpoint, for the model that it serves and judges that bring it."""

from __future__ import annotations

from typing import Literal

from imug_tts.knobs import component, knob
from imug_tts.secrecy import key_from
from imug_tts.urls import check_url

__all__ = ["Endpoint", "PaidCalls"]


@component
class PaidCalls:
    """How the calls to one address are made, and what they cost.

    The key is read from the environment variable `api_key_env` and kept nowhere; a local server needs none.
    """

    concurrency: int = knob("Calls in flight.", default=8, ge=1, runtime=True)
    timeout_s: float = knob("Seconds that one attempt may take.", default=120.0, gt=0, runtime=True)
    max_attempts: int = knob(
        "Attempts of one call; those that find it away are not counted.",
        default=5,
        ge=1,
        runtime=True,
    )
    patience_s: float = knob(
        "Seconds that it may be away (no connection, a broken one, status 5xx) before calls fail.",
        default=60.0,
        ge=0,
        runtime=True,
    )
    api_key_env: str = knob(
        "The environment variable that holds the key.", default="OPENAI_API_KEY", runtime=True
    )
    dollars_per_call: float = knob(
        "What an answered call costs on average, for dry runs and summaries.", default=0.0, ge=0, runtime=True
    )

    @property
    def api_key(self) -> str:
        """The key; empty for servers that need none."""
        return key_from(self.api_key_env)


@component
class Endpoint(PaidCalls):
    """Where a model is served, and how it is called.

    `base_url` is not a part of a call's identity, `model` is: two endpoints that serve
    different weights must serve them under different names.
    """

    base_url: str = knob(
        "Where the endpoint is, e.g. http://127.0.0.1:8000/v1 for vLLM or https://api.openai.com/v1.",
        default="http://127.0.0.1:8000/v1",
        runtime=True,
    )
    model: str = knob(
        "The name under which the endpoint serves the model.",
        default="Qwen/Qwen2.5-VL-7B-Instruct",
        min_length=1,
        named=True,
    )
    send_seed: bool = knob("False for endpoints that refuse a seed.", default=True, named=True)
    send_temperature: bool = knob("False for endpoints that refuse a temperature.", default=True, named=True)
    max_tokens_key: Literal["max_completion_tokens", "max_tokens", "none"] = knob(
        'How the endpoint calls the limit of tokens; "none" where it refuses one.',
        default="max_completion_tokens",
        named=True,
    )

    def __post_init__(self) -> None:
        check_url(self.base_url, "base_url")
