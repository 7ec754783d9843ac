"""The knobs of an OpenAI-compatible endpoint, shared by its backbone and by judges that own one."""

from __future__ import annotations

from typing import Literal

from imug_tts.knobs import component, knob
from imug_tts.secrecy import key_from
from imug_tts.urls import check_url

__all__ = ["Endpoint", "PaidCalls"]


@component
class PaidCalls:
    """Limits, key and price of the calls to one address.

    The key is read from the environment variable `api_key_env` and never stored; a local server needs none.
    """

    concurrency: int = knob("Most calls in flight.", default=8, ge=1, runtime=True)
    timeout_s: float = knob("Time limit of one attempt in seconds.", default=120.0, gt=0, runtime=True)
    max_attempts: int = knob(
        "Most attempts of one call; attempts while the server is unreachable do not count.",
        default=5,
        ge=1,
        runtime=True,
    )
    patience_s: float = knob(
        "Seconds that the server may be unreachable (no or broken connection, status 5xx) before calls fail.",
        default=60.0,
        ge=0,
        runtime=True,
    )
    api_key_env: str = knob(
        "The environment variable that holds the key.", default="OPENAI_API_KEY", runtime=True
    )
    dollars_per_call: float = knob(
        "Average price of an answered call in dollars, for dry runs and summaries.",
        default=0.0,
        ge=0,
        runtime=True,
    )

    @property
    def api_key(self) -> str:
        """The API key; empty for servers that need none."""
        return key_from(self.api_key_env)


@component
class Endpoint(PaidCalls):
    """The address and model of an OpenAI-compatible endpoint, and the parameters that it accepts.

    `model` is part of a call's identity, `base_url` is not: two endpoints with different weights must use
    different model names.
    """

    base_url: str = knob(
        "URL of the endpoint, e.g. http://127.0.0.1:8000/v1 for vLLM or https://api.openai.com/v1.",
        default="http://127.0.0.1:8000/v1",
        runtime=True,
    )
    model: str = knob(
        "The name under which the endpoint serves the model.",
        default="Qwen/Qwen2.5-VL-7B-Instruct",
        min_length=1,
        named=True,
    )
    send_seed: bool = knob(
        "Whether requests have a seed; false if the endpoint rejects it.", default=True, named=True
    )
    send_temperature: bool = knob(
        "Whether requests have a temperature; false if the endpoint rejects it.", default=True, named=True
    )
    max_tokens_key: Literal["max_completion_tokens", "max_tokens", "none"] = knob(
        'Name of the token limit in requests; "none" if the endpoint rejects it.',
        default="max_completion_tokens",
        named=True,
    )

    def __post_init__(self) -> None:
        check_url(self.base_url, "base_url")
