"""The knobs of a reward service, for the backbone that asks it and the judge that brings it."""

from __future__ import annotations

from imug_tts.endpoint import PaidCalls
from imug_tts.knobs import component, knob
from imug_tts.urls import check_url

__all__ = ["RewardService"]


@component
class RewardService(PaidCalls):
    """Where a reward service is, which of its rewards counts, and how it is called."""

    url: str = knob("Where rewards are asked for, e.g. http://127.0.0.1:8000/reward.", runtime=True)
    model: str = knob(
        "Name and version of the service's reward model, part of every call's identity; sent with each call.",
        min_length=1,
        named=True,
    )
    reward: str | None = knob(
        "Which of the named rewards counts; null where the service returns one.", default=None, named=True
    )
    api_key_env: str = knob(
        "The environment variable that holds the key.", default="REWARD_API_KEY", runtime=True
    )

    def __post_init__(self) -> None:
        check_url(self.url, "url")
