"""The checklist judge on a model of its own, behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any

from imug_tts.contracts import Backbone
from imug_tts.endpoint import Endpoint
from imug_tts.judges.backbone import ChecklistJudge
from imug_tts.knobs import component, knobs_of
from imug_tts.registry import component_class

__all__ = ["OpenAIJudge"]


@component
class OpenAIJudge(Endpoint, ChecklistJudge):
    """The checklist judge, asked of the model that `base_url` serves as `model`."""

    @property
    def name(self) -> str:
        return "openai"

    @cached_property
    def asked_model(self) -> Backbone:
        """The endpoint's model; equal judges share one, and with it the limit of calls in flight."""
        return _model_at(tuple((name, getattr(self, name)) for name in knobs_of(Endpoint)))


@cache
def _model_at(knobs: tuple[tuple[str, Any], ...]) -> Backbone:
    model: Backbone = component_class(Backbone, "openai_chat", "judge openai")(**dict(knobs))
    return model
