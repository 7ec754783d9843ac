"""A strategy of three parts: one drafts, one refines, and a critic says which try was best."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from imug_tts.contracts import Judge, JudgeUse, Models, Scope, Strategy
from imug_tts.dialogue import Response, Turn
from imug_tts.knobs import component, knob


@component
class Workshop(Strategy):
    """A draft and `rounds` refinements of it; the try with the highest verdict is the answer."""

    draft: Strategy = knob("How the first try is made.")
    refiner: Strategy = knob("How each later try is made.")
    critic: Judge = knob("Compares the tries; null for the run's judge.")
    rounds: int = knob("Tries after the draft.", default=2, ge=1, le=8)

    judge_use: ClassVar[JudgeUse] = "selects"

    @property
    def name(self) -> str:
        return "workshop"

    @property
    def models(self) -> Models:
        return {}  # only its parts ask models

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        tries = [await self._try(self.draft, turn, scope.child(0))]
        for number in range(1, self.rounds + 1):
            again = turn.note(f"Try {number + 1}, please.")
            tries.append(await self._try(self.refiner, again, scope.child(number)))
        scores = [one.verdict.score if one.verdict else None for one in tries]
        best = max(range(len(tries)), key=lambda index: (scores[index] is not None, scores[index] or 0.0))
        output, finish = tries[best].output, tries[best].finish
        chosen = None if output is None else best
        return Response(self.name, output, finish, candidates=tuple(tries), chosen=chosen)

    async def _try(self, part: Strategy, turn: Turn, scope: Scope) -> Response:
        response = await part.respond(turn, scope)
        if response.output is None:  # the model refused
            return response
        return replace(response, verdict=await self.critic.judge(turn, response, scope))
