"""The checklist judge on a model of its own, behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from imug_tts.backbones.openai_chat import Endpoint, OpenAIChat
from imug_tts.judges.backbone import BackboneJudge

__all__ = ["OpenAIJudge"]


@dataclass(frozen=True, kw_only=True)
class OpenAIJudge(Endpoint, BackboneJudge):
    """`BackboneJudge`, asked of `verifier`: the model that `base_url` serves as `model`."""

    def __post_init__(self) -> None:
        Endpoint.__post_init__(self)
        BackboneJudge.__post_init__(self)

    @property
    def name(self) -> str:
        return "openai"

    @cached_property
    def verifier(self) -> OpenAIChat:
        """The model that a run binds to this judge's role."""
        return OpenAIChat(**{knob.name: getattr(self, knob.name) for knob in fields(Endpoint)})
