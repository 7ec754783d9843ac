"""The pairwise judge: compares all pairs of candidates, each pair in both orders.

Models have a position bias (Zheng et al. 2023, arXiv 2306.05685): a pair in which the model prefers the same
position in both orders is a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

from imug_tts.concurrency import gather_all
from imug_tts.contracts import Backbone, JudgeError, OutOfBudget, Ranker, Scope
from imug_tts.dialogue import Message, Part, Response, Text, Turn, Verdict
from imug_tts.judges._verifier import VerifierJudge
from imug_tts.judges.replies import read_preference
from imug_tts.knobs import component, knob

__all__ = ["PairwiseJudge"]


class _Match(NamedTuple):
    one: int
    other: int
    share: float | None
    """The share that `one` wins: 1, 0, or 0.5 for a tie; None if a reply could not be parsed."""


@component
class PairwiseJudge(VerifierJudge, Ranker):
    """Scores a candidate by its share of wins over the pairs with readable replies; a tie is half a win.

    N candidates take N(N-1) calls to the verifier. A candidate without a readable pair is unranked.
    """

    compare_tokens: int = knob("Most tokens of the reply to a comparison.", default=64, ge=1)
    verifier: Backbone | None = knob(
        "Model that compares, e.g. backbone@judge.verifier=openai_chat; null for the run's verifier.",
        default=None,
    )

    @property
    def name(self) -> str:
        return "pairwise"

    @property
    def asked_model(self) -> Backbone | None:
        return self.verifier

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Raise JudgeError: a single candidate cannot be compared."""
        raise JudgeError("judge pairwise compares candidates, and there is one; use it in best_of_n")

    async def rank(self, turn: Turn, responses: Sequence[Response], scope: Scope) -> list[Verdict]:
        """Return one verdict per response, from comparisons of all pairs in both orders.

        Raises:
            JudgeError: a call to the verifier failed, or a response is a refusal.
            TimedOut: a call to the verifier exceeded its time limit.
            OutOfBudget: the budget does not allow all comparisons.
        """
        outputs = [response.output for response in responses if response.output is not None]
        if len(outputs) < len(responses):
            raise JudgeError("a refused response has no output to compare")
        matches: list[_Match] = []
        pairs = combinations(range(len(outputs)), 2)
        for result in await gather_all(self._match(turn, outputs, one, other, scope) for one, other in pairs):
            if isinstance(result, OutOfBudget):
                raise result
            matches.append(result)
        return [self._verdict(index, matches) for index in range(len(outputs))]

    async def prefers(self, turn: Turn, first: Response, second: Response, scope: Scope) -> float | None:
        if first.output is None or second.output is None:
            raise JudgeError("a refused response has no output to compare")
        return await self._wins(turn, first.output, second.output, scope)

    async def _match(self, turn: Turn, outputs: Sequence[Part], one: int, other: int, scope: Scope) -> _Match:
        first = await self._wins(turn, outputs[one], outputs[other], scope)
        second = await self._wins(turn, outputs[other], outputs[one], scope)
        if first is None or second is None:
            return _Match(one, other, None)
        return _Match(one, other, (first + 1 - second) / 2)

    async def _wins(self, turn: Turn, first: Part, second: Part, scope: Scope) -> float | None:
        """Return 1 if the verifier prefers the first answer, 0 if not, None if no reply could be parsed."""
        shown = (Text("First answer:"), first, Text("Second answer:"), second)
        request = turn.history[-1]
        question = Text(self.prompts(scope)["compare"])
        history = (*turn.history[:-1], Message(request.role, (*request.parts, *shown, question)))
        for attempt in self.attempts(scope, self.compare_tokens):
            reply = (await self.reply(attempt, history)).output
            if preferred := read_preference(reply.text if isinstance(reply, Text) else ""):
                return float(preferred == "first")
        return None

    def _verdict(self, index: int, matches: Sequence[_Match]) -> Verdict:
        shares = {match.other: match.share for match in matches if match.one == index}
        shares |= {
            match.one: None if match.share is None else 1 - match.share
            for match in matches
            if match.other == index
        }
        read = {opponent: share for opponent, share in sorted(shares.items()) if share is not None}
        if not read:
            return Verdict(
                status="unparsable", judge=self.name, kind=self.kind, detail="no comparison could be read"
            )
        detail = ", ".join(f"{share:g} against {opponent}" for opponent, share in read.items())
        share = fmean(read.values())
        return Verdict(status="ok", judge=self.name, kind=self.kind, score=share, detail=detail)
