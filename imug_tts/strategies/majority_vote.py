"""Sample a text answer several times and take the most frequent (self-consistency).

Wang et al. 2022, arXiv 2203.11171.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from imug_tts.concurrency import gather_all
from imug_tts.contracts import OutOfBudget, Scope, Strategy
from imug_tts.dialogue import Response, Text, Turn
from imug_tts.strategies._knobs import at_least
from imug_tts.strategies._selection import adopt, refused

__all__ = ["MajorityVote", "ballot"]


@dataclass(frozen=True, kw_only=True)
class MajorityVote:
    """The answer that most of `n` samples of `inner` give; the earliest of equals. Text turns only."""

    inner: Strategy
    n: int = 5

    def __post_init__(self) -> None:
        at_least("majority_vote", "n", self.n, 1)

    @property
    def name(self) -> str:
        return f"majority_of_{self.n}"

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """All samples are candidates of the response. Image turns pass to `inner`.

        Raises:
            OutOfBudget: nothing could be asked at all.
            BackboneError: a call failed.
        """
        if turn.modality != "text":
            return await self.inner.respond(turn, scope)
        asked = await gather_all(self.inner.respond(turn, branch) for branch in scope.split(self.n))
        samples = [one for one in asked if not isinstance(one, OutOfBudget)]
        if not samples:
            raise OutOfBudget(f"{self.name}: the budget allows no sample")
        short = f"the budget allowed {len(samples)} of {self.n} samples"
        return self._elect(samples, short if len(samples) < self.n else "")

    def _elect(self, samples: list[Response], note: str) -> Response:
        ballots = {i: ballot(s.output.text) for i, s in enumerate(samples) if isinstance(s.output, Text)}
        if not ballots:
            return refused(self.name, samples, note)
        votes = Counter(ballots.values())
        most = max(votes.values())
        chosen = next(index for index, cast in ballots.items() if votes[cast] == most)
        tied = sum(count == most for count in votes.values()) > 1
        return adopt(self.name, samples, chosen, note, "tied vote: took the earliest" if tied else "")


def ballot(text: str) -> str:
    """What a reply votes for: its option letters A-G, sorted, or without any its stripped text.

    Letters may stand alone ("A, C") or joined ("CA"): both vote "AC".
    """
    runs: list[str] = re.findall(r"\b[A-G]+\b", text)
    return "".join(sorted(set("".join(runs)))) or text.strip()
