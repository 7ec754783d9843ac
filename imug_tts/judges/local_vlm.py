"""The checklist judge with its own vision-language model in this process."""

from __future__ import annotations

from functools import cached_property

from imug_tts.contracts import Backbone
from imug_tts.judges._own_models import own_model
from imug_tts.judges.backbone import ChecklistJudge
from imug_tts.knobs import component
from imug_tts.local_model import LocalModel

__all__ = ["LocalVlmJudge"]


@component
class LocalVlmJudge(LocalModel, ChecklistJudge):
    """The checklist judge with the vision-language model in `folder`; P(yes) comes from its logits."""

    @property
    def name(self) -> str:
        return "local_vlm"

    @cached_property
    def asked_model(self) -> Backbone:
        """The model in `folder`; judges with equal knobs share one."""
        return own_model(self, "local_vlm", LocalModel)
