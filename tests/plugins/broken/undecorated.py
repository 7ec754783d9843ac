"""A judge whose knobs are not read, because `@component` is missing."""

from __future__ import annotations

from imug_tts.contracts import Judge, Scope
from imug_tts.dialogue import Response, Turn, Verdict
from imug_tts.knobs import knob


class Undecorated(Judge):
    """Lacks its decorator."""

    questions: int = knob("Questions.", default=3)

    @property
    def name(self) -> str:
        return "undecorated"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        return Verdict(status="ok", judge=self.name, score=1.0)
