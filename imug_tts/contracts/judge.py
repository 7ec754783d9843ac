"""Judges: selectors and verifiers inside strategies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from imug_tts.contracts.strategy import Models, Scope, Setting
from imug_tts.dialogue import Modality, Response, Turn, Verdict, VerdictKind

__all__ = ["Judge", "Ranker"]


class Judge(ABC):
    """Selector and verifier inside a strategy. Never sees the benchmark's answer key unless `oracle`."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def kind(self) -> VerdictKind:
        """What kind of number its verdicts hold."""
        return "probability"

    @property
    def oracle(self) -> bool:
        """True when it is the scorer itself; tables then say so."""
        return False

    @property
    def models(self) -> Models:
        """The models that the judge asks. A model of its own stands here; None is the run's verifier."""
        return {}

    @abstractmethod
    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Judge `response` as an answer to `turn` (its history alone, not its notes).

        Raises:
            JudgeError: the judge could not be reached or failed.
            OutOfBudget: the turn's budget allows no further text call.
        """

    async def prefers(self, turn: Turn, first: Response, second: Response, scope: Scope) -> float | None:
        """1 if `first` is preferred when it is shown first, 0 if `second` is, 0.5 for a tie.

        None when the judge could not be read. A judge that asks a model in both orders overrides this with
        the one order, so that its preference for a place can be measured.

        Raises:
            JudgeError: the judge could not be reached or failed.
        """
        return _preferred([await self.judge(turn, response, scope) for response in (first, second)])

    def check(self, setting: Setting, modalities: Sequence[Modality], layer: str) -> None:
        """Check that the judge can judge answers of these modalities for the layer of that name.

        Raises:
            ConfigurationError: with the reason and what to change.
        """


class Ranker(Judge):
    """A judge that compares candidates and cannot judge one alone: a selector only."""

    @property
    def kind(self) -> VerdictKind:
        return "rank"

    @abstractmethod
    async def rank(self, turn: Turn, responses: Sequence[Response], scope: Scope) -> list[Verdict]:
        """One verdict for each of two responses or more, in their order.

        Raises:
            JudgeError: the judge could not be reached or failed.
            OutOfBudget: the turn's budget does not allow all comparisons.
        """

    async def prefers(self, turn: Turn, first: Response, second: Response, scope: Scope) -> float | None:
        return _preferred(await self.rank(turn, (first, second), scope))


def _preferred(verdicts: Sequence[Verdict]) -> float | None:
    """How far the first of two verdicts is the higher one; None where one has no score."""
    one, other = (verdict.score for verdict in verdicts)
    return None if one is None or other is None else (one > other) + (one == other) / 2
