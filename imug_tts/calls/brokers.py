"""The brokers of all models, and a dialogue's access to them."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import NamedTuple

from imug_tts.calls.broker import Answer, Broker
from imug_tts.calls.call import Call
from imug_tts.calls.journal import Journal
from imug_tts.contracts import Backbone

__all__ = ["BrokerClient", "Brokers"]


class BrokerClient(NamedTuple):
    """A dialogue's access to the broker of one model; its calls have the dialogue's rank."""

    broker: Broker
    rank: int

    async def ask(self, call: Call) -> Answer:
        """Return the answer to a call; see `Broker.ask`."""
        return await self.broker.ask(call, self.rank)


class Brokers:
    """One broker per model of an event loop, created at the first call to the model."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_model: dict[int, Broker] = {}
        self._rank = 0

    def for_dialogue(self, rank: int) -> Brokers:
        """Return these brokers for one dialogue, whose calls go before those of dialogues of higher rank."""
        brokers = copy(self)
        brokers._rank = rank
        return brokers

    def of(self, model: Backbone) -> BrokerClient:
        broker = self._by_model.get(id(model))
        if broker is None:
            broker = self._by_model[id(model)] = Broker(model, self._journal)
        return BrokerClient(broker, self._rank)

    async def stop(self) -> None:
        """Finish and journal the calls in flight at every model, and start no others."""
        await asyncio.gather(*(broker.stop() for broker in self._by_model.values()))
