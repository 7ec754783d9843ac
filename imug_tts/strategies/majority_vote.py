"""Majority vote (self-consistency): sample a text answer several times and take the most frequent.

Wang et al. 2022, arXiv 2203.11171.
"""

from __future__ import annotations

from collections import Counter

from imug_tts.concurrency import gather_all
from imug_tts.contracts import ConfigurationError, Models, OutOfBudget, Scope, Setting, Strategy
from imug_tts.dialogue import Modality, Response, Text, Turn
from imug_tts.final_text import final_text
from imug_tts.knobs import component, knob
from imug_tts.option_letters import option_letters
from imug_tts.strategies._selection import adopt, refused

__all__ = ["MajorityVote", "ballot"]


@component
class MajorityVote(Strategy):
    """The most frequent answer among `n` samples of `inner`; the earliest of a tie. Text turns only."""

    # The preset is not greedy, because greedy samples are all equal.
    inner: Strategy = knob("Strategy that generates each sample.", preset={"text_temperature": 0.7})
    n: int = knob("Number of samples.", default=5, ge=1, named=True)

    @property
    def name(self) -> str:
        return f"majority_of_{self.n}"

    @property
    def models(self) -> Models:
        return {}

    def acts_on(self, modality: Modality) -> bool:
        return modality == "text"

    def draws(self, modality: Modality) -> int:
        return self.n

    def check(self, setting: Setting) -> None:
        """Check that the benchmark has text turns; raises ConfigurationError if it has none."""
        if not any(map(self.acts_on, setting.posed)):
            raise ConfigurationError(
                f"{self.name} votes on text turns, and the benchmark has none; leave it out"
            )

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """Return the most frequent answer, with all samples as candidates. Image turns pass to `inner`.

        Raises:
            OutOfBudget: the budget allows no sample.
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
        # A reply that was cut off while it reasoned has an empty vote, which counts only if all are empty.
        votes = Counter(vote for vote in ballots.values() if vote) or Counter(ballots.values())
        most = max(votes.values())
        chosen = next(index for index, cast in ballots.items() if votes[cast] == most)
        tied = sum(count == most for count in votes.values()) > 1
        return adopt(self.name, samples, chosen, note, "tied vote: took the earliest" if tied else "")


def ballot(text: str) -> str:
    """Return the vote of a reply: its option letters A-G, sorted; the whole text if it has no letters.

    Reasoning is ignored (see `final_text`). `option_letters` says which letters count.
    """
    said = final_text(text)
    return option_letters(said) or said
