"""Intervals and claims keep their promises on studies whose truth is known (fixed seeds, 200 dialogues each).

`python -m tests.analysis.simulation` asks the same of thousands of studies.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.analysis.simulation.outcome import Outcome, wrong
from tests.analysis.simulation.suite import outcomes
from tests.analysis.simulation.worlds import Effect, Truth, World

STUDIES = {"strategies": 200, "chains": 200, "judges": 160, "raters": 160, "errors": 100, "reductions": 100}


@pytest.mark.parametrize("part", STUDIES)
def test_shares_of_studies_are_as_promised(part: str) -> None:
    found = list(outcomes([part], STUDIES[part]))
    assert len(found) > 2
    assert not wrong(found), "\n".join(wrong(found))


def test_an_outcome_outside_of_its_bounds_is_told() -> None:
    few = Outcome(family="coverage", name="mean", happened=172, studies=200, bounds=(0.93, 0.97))
    (sentence,) = wrong([few, replace(few, name="eb", happened=186)])
    assert "mean" in sentence
    assert "0.860 of 200" in sentence


def test_the_truth_of_a_world_follows_from_its_parameters() -> None:
    """Where nothing varies but the turn, two turns give every number by hand."""
    losses = {"direct": 1.0, "cot": 0.5}
    effects = {name: Effect(level=0.0, decay=0.0, loss=loss) for name, loss in losses.items()}
    world = World(effects=effects, num_turns=2, between=1e-9, difficulty=0.0, uneven=0.0, skill=0.0)
    lost = 0.5 - 0.2689414213699951  # expit(0) - expit(-1)
    reduced = 0.3775406687981454 - 0.2689414213699951  # expit(-.5) - expit(-1)
    direct, cot = (Truth(world).of(strategy) for strategy in effects)
    assert direct["eb"] == pytest.approx(lost)
    assert direct["within_slope"] == pytest.approx(-lost)
    assert direct["attributable_fraction"] == pytest.approx(1)
    assert direct["eb_step"] == pytest.approx(0)
    assert cot["eb_reduction"] == pytest.approx(reduced)
    assert cot["eb_reduction_logit"] == pytest.approx(0.5)
    assert cot["mean_gain"] == pytest.approx(reduced / 3)  # one dialogue in two has the second turn
