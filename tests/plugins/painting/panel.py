"""A judge with other judges as members."""

from __future__ import annotations

from statistics import fmean

from imug_tts.contracts import Judge, Scope
from imug_tts.dialogue import Response, Turn, Verdict, VerdictKind
from imug_tts.knobs import Several, component, knob


@component
class Panel(Judge):
    """The mean of what several judges say."""

    members: Several[Judge] = knob("The judges, e.g. [{name: backbone}, {name: exact}].", min_length=1)

    @property
    def name(self) -> str:
        return "panel"

    @property
    def kind(self) -> VerdictKind:
        return "reward"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        verdicts = [await member.judge(turn, response, scope) for member in self.members]
        scores = [verdict.score for verdict in verdicts if verdict.score is not None]
        if not scores:
            return Verdict(status="unparsable", judge=self.name, kind=self.kind)
        return Verdict(status="ok", judge=self.name, score=fmean(scores), kind=self.kind)
