"""A judge with a knob whose default is not of its type."""

from __future__ import annotations

from imug_tts.contracts import Judge, Scope
from imug_tts.dialogue import Response, Turn, Verdict
from imug_tts.knobs import component, knob


@component
class WrongDefault(Judge):
    """Has a number of questions that is no number."""

    questions: int = knob("Questions.", default="many", ge=1)

    @property
    def name(self) -> str:
        return "wrong_default"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        return Verdict(status="ok", judge=self.name, score=1.0)
