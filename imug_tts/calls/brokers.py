"""The brokers of all models, and where a dialogue asks one of them."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import NamedTuple

from imug_tts.calls.broker import Answer, Broker
from imug_tts.calls.call import Call
from imug_tts.calls.journal import Journal
from imug_tts.contracts import Backbone

__all__ = ["Brokers", "Desk"]


class Desk(NamedTuple):
    """Where one dialogue asks a model."""

    broker: Broker
    rank: int

    async def ask(self, call: Call) -> Answer:
        """See `Broker.ask`."""
        return await self.broker.ask(call, self.rank)


class Brokers:
    """One broker for each model of an event loop, made when the model is first asked."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_model: dict[int, Broker] = {}
        self._rank = 0

    def for_dialogue(self, rank: int) -> Brokers:
        """The same brokers for one dialogue, whose calls go before those of a higher rank."""
        brokers = copy(self)
        brokers._rank = rank
        return brokers

    def of(self, model: Backbone) -> Desk:
        broker = self._by_model.get(id(model))
        if broker is None:
            broker = self._by_model[id(model)] = Broker(model, self._journal)
        return Desk(broker, self._rank)

    async def stop(self) -> None:
        """Finish and journal what is in flight at every model; hand out no more."""
        await asyncio.gather(*(broker.stop() for broker in self._by_model.values()))
