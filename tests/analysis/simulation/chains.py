"""Dialogues in which a part of each error is handed on to the next image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.panel import Panel
from analysis.propagation import propagation
from analysis.records import Key, Record, Study
from tests.analysis.simulation.outcome import COVERAGE, Outcome, Tally
from tests.analysis.simulation.worlds import record, sample_key, study_of


@dataclass(frozen=True, kw_only=True)
class Chain:
    """How a loss on own history comes about: a constant of the dialogue, and a part of the error before."""

    handed_on: float = 0.5
    """The truth of the propagation slope."""
    constant: float = 0.06
    """Each dialogue loses a constant between 0 and this at every turn with a history."""
    noise: float = 0.0
    """Half the width of the scorer's noise."""
    has_second: bool = False
    """Whether a second pass of the scorer is recorded."""
    num_samples: int = 200
    num_turns: int = 6

    def study(self, seed: int) -> Study:
        """A study of one strategy drawn from such dialogues."""
        return study_of(tuple(self._records(np.random.default_rng(seed))))

    def _records(self, rng: np.random.Generator) -> Iterator[Record]:
        shape = self.num_samples, self.num_turns
        difficulty = 0.02 * np.arange(self.num_turns) + rng.uniform(0, 0.1, (self.num_samples, 1))
        gold = 0.95 - difficulty + rng.uniform(-0.05, 0.05, shape)
        constant = rng.uniform(0, self.constant, self.num_samples)
        own = gold + rng.uniform(-0.1, 0.05, shape)
        for turn in range(1, self.num_turns):
            own[:, turn] -= constant + self.handed_on * (1 - own[:, turn - 1])
        lengths = rng.integers(2, self.num_turns + 1, self.num_samples)
        passes = rng.uniform(-self.noise, self.noise, (3, *shape))
        for row, length in enumerate(lengths.tolist()):
            for column in range(length):
                key = Key("direct", "own", 0, sample_key(row), column + 1)
                second = {"second": own[row, column] + passes[1, row, column]} if self.has_second else {}
                yield record(key, own[row, column] + passes[0, row, column], **second)
                if column:
                    yield record(key._replace(history="gold"), gold[row, column] + passes[2, row, column])


def of_chains(chain: Chain, name: str, studies: int, first_seed: int = 0) -> Iterator[Outcome]:
    """How often the interval of the propagation slope holds its truth."""
    tally = Tally("coverage", COVERAGE)
    for seed in range(first_seed, first_seed + studies):
        panel = Panel.of(chain.study(seed))
        (found,) = propagation(panel, panel.inference("sample", 1, 0))
        tally.add(f"propagation, {name}", found.slope.low <= chain.handed_on <= found.slope.high)
    yield from tally.outcomes()
