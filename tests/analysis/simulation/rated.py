"""Worlds in which human raters score a random part of the turns, and the scorer errs on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from analysis.estimands import estimates
from analysis.panel import Panel
from analysis.records import Record, Study
from tests.analysis.simulation.outcome import COVERAGE, Outcome, Tally
from tests.analysis.simulation.worlds import FULL_MARKS, Truth, World, study_of

HUMAN = {"mean": "human_mean", "mean_gain": "human_gain"}
"""Estimands of a world, and what the analysis calls them where humans scored a part."""


def rated_study(world: World, seed: int, labelled: float = 0.3) -> Study:
    """A study of a world's scores as the humans', of which the scorer sees a flattering, noisy copy."""
    rng = np.random.default_rng([seed, 1])
    records = world.study(seed).records
    noise = rng.integers(-2, 3, len(records)) / FULL_MARKS
    is_labelled = rng.random(len(records)) < labelled
    return study_of(
        tuple(
            _rated(record, float(error), labelled=bool(label))
            for record, error, label in zip(records, noise, is_labelled, strict=True)
        )
    )


def _rated(record: Record, error: float, *, labelled: bool) -> Record:
    human = float(record.score or 0.0)
    seen = min(1.0, max(0.0, 0.2 + 0.8 * human + error))
    return replace(record, score=seen, human=human if labelled else None)


def of_raters(world: World, studies: int, first_seed: int = 0) -> Iterator[Outcome]:
    """How often the intervals of the human-corrected means and gains hold the humans' own."""
    truth, tally = Truth(world), Tally("coverage", COVERAGE)
    expected = {strategy: truth.of(strategy) for strategy in world.effects}
    for seed in range(first_seed, first_seed + studies):
        panel = Panel.of(rated_study(world, seed))
        found = estimates(panel, panel.inference("sample", 1, 0), "direct")
        for strategy, truths in expected.items():
            for name in HUMAN:
                if name in truths:
                    estimate = found[strategy][HUMAN[name]]
                    tally.add(f"{HUMAN[name]} {strategy}", estimate.low <= truths[name] <= estimate.high)
    yield from tally.outcomes()
