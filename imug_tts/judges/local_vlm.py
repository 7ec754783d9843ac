"""The checklist judge on a vision-language model of its own, in this process."""

from __future__ import annotations

from functools import cached_property

from imug_tts.contracts import Backbone
from imug_tts.judges._brought import brought_model
from imug_tts.judges.backbone import ChecklistJudge
from imug_tts.knobs import component
from imug_tts.local_model import LocalModel

__all__ = ["LocalVlmJudge"]


@component
class LocalVlmJudge(LocalModel, ChecklistJudge):
    """The checklist judge, asked of the vision-language model in `folder`, with P(yes) from its logits."""

    @property
    def name(self) -> str:
        return "local_vlm"

    @cached_property
    def asked_model(self) -> Backbone:
        """The model of the folder; equal judges share one."""
        return brought_model(self, "local_vlm", LocalModel)
