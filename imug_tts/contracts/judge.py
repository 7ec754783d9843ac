"""The judge interfaces: components that select between candidates or verify one, inside a strategy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from imug_tts.contracts.strategy import Models, Scope, Setting
from imug_tts.dialogue import Modality, Response, Turn, Verdict, VerdictKind

__all__ = ["Judge", "Ranker"]


class Judge(ABC):
    """A selector or verifier inside a strategy. It never sees the answer key unless `oracle` is True."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def kind(self) -> VerdictKind:
        """The scale of the scores in this judge's verdicts: a probability, a reward or a rank."""
        return "probability"

    @property
    def oracle(self) -> bool:
        """Whether the judge is the benchmark's own scorer; tables then mark the arm as an oracle."""
        return False

    @property
    def models(self) -> Models:
        """The judge's models by role; None stands for the run's model in that role."""
        return {}

    @abstractmethod
    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Return the verdict on `response` as an answer to `turn`; the notes of the turn are ignored.

        Raises:
            JudgeError: a call to the judge's model failed.
            OutOfBudget: the turn's budget allows no further text call.
        """

    async def prefers(self, turn: Turn, first: Response, second: Response, scope: Scope) -> float | None:
        """Return 1 if the judge prefers `first`, 0 if it prefers `second`, 0.5 for a tie.

        The judge sees `first` first. Returns None if no preference could be parsed from its replies. A judge
        that shows its model both orders overrides this method to show only this order, so that position bias
        can be measured.

        Raises:
            JudgeError: a call to the judge's model failed.
        """
        return _preferred([await self.judge(turn, response, scope) for response in (first, second)])

    def check(self, setting: Setting, modalities: Sequence[Modality], layer: str) -> None:
        """Check that the judge can judge answers of these modalities for the strategy layer named `layer`.

        Raises:
            ConfigurationError: the judge cannot; the message gives the reason and what to change.
        """


class Ranker(Judge):
    """A judge that ranks candidates against each other. It cannot verify a single candidate."""

    @property
    def kind(self) -> VerdictKind:
        return "rank"

    @abstractmethod
    async def rank(self, turn: Turn, responses: Sequence[Response], scope: Scope) -> list[Verdict]:
        """Return one verdict for each of `responses` (two or more), in the order of `responses`.

        Raises:
            JudgeError: a call to the judge's model failed.
            OutOfBudget: the turn's budget does not allow all comparisons.
        """

    async def prefers(self, turn: Turn, first: Response, second: Response, scope: Scope) -> float | None:
        return _preferred(await self.rank(turn, (first, second), scope))


def _preferred(verdicts: Sequence[Verdict]) -> float | None:
    """Return 1, 0.5 or 0 if the first score is higher, equal or lower; None if a score is missing."""
    one, other = (verdict.score for verdict in verdicts)
    return None if one is None or other is None else (one > other) + (one == other) / 2
