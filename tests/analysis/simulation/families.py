"""How often a family of tests says a word that is not true, and how often it says one that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

from analysis.estimands import estimates
from analysis.inference import Estimate
from analysis.nesting import nestings
from analysis.panel import Panel
from analysis.records import Study
from analysis.wording import Evidence, findings
from tests.analysis.simulation.outcome import ERROR, Outcome, Tally
from tests.analysis.simulation.worlds import Effect, Truth, World

LEVEL = 0.05
EIGHT = (
    "direct", "cot", "self_verify", "best_of_4", "self_verify+cot", "best_of_4+cot", "best_of_4+self_verify",
    "best_of_4+self_verify+cot",
)  # fmt: skip
"""Strategies and their nestings, twelve comparisons with a part in all."""


def equal_strategies(effect: Effect, *, has_gold: bool = True) -> World:
    """Eight strategies of the same effect."""
    return World(effects=dict.fromkeys(EIGHT, effect), has_gold=has_gold)


SAME_GAP = equal_strategies(Effect())
"""Nothing tells the strategies apart; each loses on own history."""
NO_GAP = equal_strategies(Effect(loss=0.0))
NO_DECAY = equal_strategies(Effect(loss=0.0, decay=0.0), has_gold=False)


def better_everywhere(loss: float = 0.35) -> World:
    """Own history costs direct .35 logits a turn and cot `loss`; cot is 1.5 logits better everywhere."""
    effects = {"direct": Effect(level=1.0, loss=0.35), "cot": Effect(level=2.5, loss=loss)}
    return World(effects=effects, between=0.4, difficulty=0.3, uneven=0.0)


@cache
def equal_gap_in_logits() -> World:
    """The same with the loss of cot at which the means of both fall by the same number of logits."""
    from scipy.optimize import brentq

    def reduction(loss: float) -> float:
        return Truth(better_everywhere(loss)).of("cot")["eb_reduction_logit"]

    return better_everywhere(float(brentq(reduction, 0.1, 0.6)))


def reduced(loss: float) -> World:
    """Own history costs direct .35 logits a turn and cot `loss`; cot is .3 logits better everywhere."""
    return World(effects={"direct": Effect(loss=0.35), "cot": Effect(level=2.1, loss=loss)})


def words(study: Study) -> dict[str, bool]:
    """For every family of tests of a study, whether it says of any strategy that there is something."""
    panel = Panel.of(study)
    inference = panel.inference("sample", 100, 0)
    found = estimates(panel, inference, "direct")
    said = findings({s: Evidence(estimates=known) for s, known in found.items()}, "direct")
    claims = {claim for finding in said.values() for claim in finding.claims}
    return {
        "gain": _any_shown(found, "mean_gain"),
        "reduction, in points": _any_shown(found, "eb_reduction"),
        "reduction, as worded": bool(claims & {"reduction", "increase"}),
        "slope less the baseline's": _any_shown(found, "slope_change"),
        "growth of the gap, less the baseline's": _any_shown(found, "eb_slope_reduction"),
        "step reduction": _any_shown(found, "eb_step_reduction"),
        "T3 gain or loss": any(n.finding in ("gain", "loss") for n in nestings(panel, inference)),
        "gap, as worded": bool(claims & {"exposure_gap", "gap_not_beyond"}),
        "gap": _any_shown(found, "eb"),
        "growth of the gap": _any_shown(found, "eb_slope"),
        "decay, as worded": "decay" in claims,
        "slope": _any_shown(found, "within_slope"),
        "composition": any("composition_confound" in finding.rules for finding in said.values()),
    }


def _any_shown(found: Mapping[str, Mapping[str, Estimate]], name: str) -> bool:
    return any(known[name].p_adjusted < LEVEL for known in found.values())


OF_STRATEGIES = (
    "gain", "reduction, in points", "reduction, as worded", "slope less the baseline's",
    "growth of the gap, less the baseline's", "step reduction", "T3 gain or loss",
)  # fmt: skip
OF_GAPS = ("gap", "gap, as worded", "growth of the gap", "reduction, in points", "reduction, as worded")
OF_SLOPES = ("slope", "decay, as worded", "composition")


def of_nulls(studies: int, first_seed: int = 0) -> Iterator[Outcome]:
    """Familywise errors: in how many studies a family says anything where nothing is."""
    no_composition = replace(NO_DECAY, length_effect=0.0)
    for world, name, families in (
        (SAME_GAP, "equal strategies", OF_STRATEGIES),
        (NO_GAP, "no gap", OF_GAPS),
        (no_composition, "no decay", OF_SLOPES),
    ):
        tally = Tally(f"error, {name}", ERROR)
        for seed in range(first_seed, first_seed + studies):
            said = words(world.study(seed))
            for family in families:
                tally.add(family, said[family])
        yield from tally.outcomes()


def of_reductions(studies: int, first_seed: int = 0) -> Iterator[Outcome]:
    """A reduction is claimed where there is one on both scales, not where the level makes one in points."""
    for world, name, bounds in (
        (better_everywhere(), "equal losses of a turn, in logits", ERROR),
        (equal_gap_in_logits(), "equal gaps in logits", ERROR),
        (reduced(0.2), "from .35 to .20 logits a turn", (0.8, 1.0)),
        (reduced(0.25), "from .35 to .25 logits a turn (power)", (0.0, 1.0)),
    ):
        tally = Tally("reduction claimed", bounds)
        for seed in range(first_seed, first_seed + studies):
            tally.add(name, words(world.study(seed))["reduction, as worded"])
        yield from tally.outcomes()
