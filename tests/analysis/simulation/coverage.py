"""Do 95 % intervals hold the truth in 95 % of studies?"""

from __future__ import annotations

from collections.abc import Iterator

from analysis.estimands import estimates
from analysis.panel import Panel
from tests.analysis.simulation.outcome import COVERAGE, Outcome, Tally
from tests.analysis.simulation.worlds import Truth, World

RESAMPLES = 400


def of_strategies(world: World, studies: int, first_seed: int = 0) -> Iterator[Outcome]:
    """Every estimand of every strategy of a world."""
    truth = Truth(world)
    expected = {strategy: truth.of(strategy) for strategy in world.effects}
    tally = Tally("coverage", COVERAGE)
    for seed in range(first_seed, first_seed + studies):
        panel = Panel.of(world.study(seed))
        found = estimates(panel, panel.inference("sample", RESAMPLES, seed), "direct")
        for strategy, truths in expected.items():
            for name, value in truths.items():
                estimate = found[strategy][name]
                if estimate.is_defined:  # else it is n/a in the tables
                    tally.add(f"{name} {strategy}", estimate.low <= value <= estimate.high)
    yield from tally.outcomes()
