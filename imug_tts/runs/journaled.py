"""What a journal has of an arm already: its dialogues are played, and the journal alone is asked."""

from __future__ import annotations

from imug_tts.calls import Answer, Broker, Brokers, Call, Desk, Journal
from imug_tts.concurrency import run_blocking
from imug_tts.contracts import Backbone, BackboneError
from imug_tts.registry import model_identity
from imug_tts.runs.arm import Arm
from imug_tts.runs.player import Player

__all__ = ["count_journaled"]


def count_journaled(arm: Arm, journal: Journal) -> int:
    """Different calls of the arm that the journal answers, up to the first of a turn that it does not."""
    return run_blocking(_count(arm, journal))


async def _count(arm: Arm, journal: Journal) -> int:
    brokers = _Readers(journal)
    for sample in arm.benchmark.samples():
        await Player(arm, sample, brokers).play()
    return len(brokers.answered)


class _Readers(Brokers):
    """Brokers that ask nobody."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.answered: set[str] = set()
        self._readers: dict[int, _Reader] = {}

    def of(self, model: Backbone) -> Desk:
        reader = self._readers.get(id(model))
        if reader is None:
            reader = self._readers[id(model)] = _Reader(model, self._journal, self.answered)
        return Desk(reader, 0)


class _Reader(Broker):
    """Answers what the journal has, and fails on all else."""

    def __init__(self, model: Backbone, journal: Journal, answered: set[str]) -> None:
        super().__init__(model, journal)
        self._answered_calls = answered

    async def ask(self, call: Call, rank: int = 0) -> Answer:
        call_id = call.identity(model_identity(self.backbone))
        known = self._known(call_id, call)
        if known is None:
            raise BackboneError("the journal has no such call")
        self._answered_calls.add(call_id)
        return Answer(call_id, known, is_new=False)
