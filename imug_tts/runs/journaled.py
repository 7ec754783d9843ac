"""Count the calls of an arm that a journal already answers, by playing the arm from the journal only."""

from __future__ import annotations

from imug_tts.calls import Answer, Broker, BrokerClient, Brokers, Call, Journal
from imug_tts.concurrency import run_blocking
from imug_tts.contracts import Backbone, BackboneError
from imug_tts.registry import model_identity
from imug_tts.runs.arm import Arm
from imug_tts.runs.player import Player

__all__ = ["count_journaled"]


def count_journaled(arm: Arm, journal: Journal) -> int:
    """Return the number of distinct calls of the arm that the journal answers.

    In each turn, calls after the first call without an answer are unknown and not counted.
    """
    return run_blocking(_count(arm, journal))


async def _count(arm: Arm, journal: Journal) -> int:
    brokers = _JournalBrokers(journal)
    for sample in arm.benchmark.samples():
        await Player(arm, sample, brokers).play()
    return len(brokers.answered)


class _JournalBrokers(Brokers):
    """Brokers that answer from the journal only."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.answered: set[str] = set()
        self._journal_brokers: dict[int, _JournalBroker] = {}

    def of(self, model: Backbone) -> BrokerClient:
        broker = self._journal_brokers.get(id(model))
        if broker is None:
            broker = self._journal_brokers[id(model)] = _JournalBroker(model, self._journal, self.answered)
        return BrokerClient(broker, 0)


class _JournalBroker(Broker):
    """A broker that answers from the journal; it raises BackboneError for all other calls."""

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
