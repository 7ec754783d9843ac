"""The knobs of a reward service, shared by its backbone and by judges that own one."""

from __future__ import annotations

from imug_tts.endpoint import PaidCalls
from imug_tts.knobs import component, knob
from imug_tts.urls import check_url

__all__ = ["RewardService"]


@component
class RewardService(PaidCalls):
    """The address of a reward service, and the name of the reward that is used."""

    url: str = knob("URL of the service, e.g. http://127.0.0.1:8000/reward.", runtime=True)
    model: str = knob(
        "Name and version of the service's reward model, part of every call's identity; sent with each call.",
        min_length=1,
        named=True,
    )
    reward: str | None = knob(
        "Name of the reward to use; null if the service returns only one.", default=None, named=True
    )
    api_key_env: str = knob(
        "The environment variable that holds the key.", default="REWARD_API_KEY", runtime=True
    )

    def __post_init__(self) -> None:
        check_url(self.url, "url")
