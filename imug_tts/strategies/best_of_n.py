"""Best-of-N: sample N candidates on one history and choose the one that the judge ranks highest."""

from __future__ import annotations

from typing import ClassVar

from imug_tts.concurrency import gather_all
from imug_tts.contracts import Judge, JudgeUse, Models, OutOfBudget, Ranker, Scope, Strategy
from imug_tts.dialogue import Modality, Response, Turn
from imug_tts.knobs import Several, component, knob
from imug_tts.strategies._knobs import APPLIES_TO, layer_name
from imug_tts.strategies._selection import best_of, judged, ranked

__all__ = ["BestOfN"]


@component
class BestOfN(Strategy):
    """The highest-ranked of `n` candidates of `inner`; the lowest index if scores are equal.

    Candidate i has the seed of child i. So candidate 0 is the answer of `inner` alone, and the candidates of
    a small n are the first candidates of a larger n.
    """

    inner: Strategy = knob("Strategy that generates each candidate.")
    judge: Judge = knob("Judge that ranks the candidates; null for the run's judge.")
    n: int = knob("Number of candidates.", default=4, ge=1, named=True)
    applies_to: Several[Modality] = knob(APPLIES_TO, default=("image",), min_length=1)

    judge_use: ClassVar[JudgeUse] = "selects"

    @property
    def name(self) -> str:
        return layer_name(f"best_of_{self.n}", self.judge)

    @property
    def models(self) -> Models:
        return {}

    def acts_on(self, modality: Modality) -> bool:
        return modality in self.applies_to

    def draws(self, modality: Modality) -> int:
        return self.n

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """Return the chosen candidate's answer, with all candidates and their verdicts.

        Raises:
            OutOfBudget: the budget allows no candidate.
            BackboneError, JudgeError: a call failed.
        """
        if turn.modality not in self.applies_to:
            return await self.inner.respond(turn, scope)
        drawn = await gather_all(self._candidate(turn, branch) for branch in scope.split(self.n))
        candidates = [one for one in drawn if not isinstance(one, OutOfBudget)]
        if not candidates:
            raise OutOfBudget(f"{self.name}: the budget allows no candidate")
        if isinstance(self.judge, Ranker):
            candidates = await self._compared(self.judge, turn, candidates, scope)
        short = f"the budget allowed {len(candidates)} of {self.n} candidates"
        return best_of(self.name, candidates, short if len(candidates) < self.n else "")

    async def _candidate(self, turn: Turn, branch: Scope) -> Response:
        candidate = await self.inner.respond(turn, branch)
        if isinstance(self.judge, Ranker):
            return candidate  # `_compared` ranks all candidates together
        try:
            return await judged(self.judge, turn, candidate, branch)
        except OutOfBudget:
            return candidate  # kept as an unranked candidate, because its call is already paid

    async def _compared(
        self, judge: Ranker, turn: Turn, candidates: list[Response], scope: Scope
    ) -> list[Response]:
        try:
            return await ranked(judge, turn, candidates, scope)
        except OutOfBudget:
            return candidates
