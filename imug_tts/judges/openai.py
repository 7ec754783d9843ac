"""The checklist judge with its own model on an OpenAI-compatible endpoint."""

from __future__ import annotations

from functools import cached_property

from imug_tts.contracts import Backbone
from imug_tts.endpoint import Endpoint
from imug_tts.judges._own_models import own_model
from imug_tts.judges.backbone import ChecklistJudge
from imug_tts.knobs import component

__all__ = ["OpenAIJudge"]


@component
class OpenAIJudge(Endpoint, ChecklistJudge):
    """The checklist judge with the model that `base_url` serves as `model`."""

    @property
    def name(self) -> str:
        return "openai"

    @cached_property
    def asked_model(self) -> Backbone:
        """The endpoint's model; judges with equal knobs share one."""
        return own_model(self, "openai_chat", Endpoint)
