"""Dialogues of image turns on own and gold history, and the truth of every estimand about them.

On the logit scale a score has the strategy's level, the dialogue's effect, the turn's difficulty, a decay
over turns whatever the history, and a loss per turn on own history that is larger in some dialogues than in
others. A part of the loss is lost skill, which the step score has too. Observed is the mean of three points
of 0 to 5. Lengths are ragged and may depend on the dialogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records import Cost, Key, Record, SampleKey, Study

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Place = tuple[str, str]
"""A strategy, and "own", "gold" or "step": its score on a history, or its step score on own history."""

FULL_MARKS = 15
"""Three points of 0 to 5."""
NO_COST = Cost(*[float("nan")] * len(Cost._fields))
CLASSES = ("hybrid", "static_spatial", "temporal_causal")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a strategy does to scores, in logits."""

    level: float = 1.8
    decay: float = 0.05
    """What a turn costs behind any history."""
    loss: float = 0.3
    """What each earlier turn costs behind own history, on average over dialogues."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A population of dialogues and of strategies that answer all of them."""

    effects: Mapping[str, Effect] = field(
        default_factory=lambda: {
            "direct": Effect(),
            "cot": Effect(level=2.4, loss=0.1),
            "self_verify": Effect(level=2.0, loss=0.25),
            "best_of_4": Effect(level=2.2, decay=0.0),
        }
    )
    num_samples: int = 200
    num_turns: int = 6
    between: float = 0.8
    """Standard deviation of dialogues, in logits."""
    difficulty: float = 0.5
    """Standard deviation of turns within a dialogue, shared by strategies and histories."""
    skill: float = 0.3
    """The share of the loss that the step score has, in logits."""
    uneven: float = 0.5
    """Half of the dialogues lose this share more behind own history, half this share less."""
    length_effect: float = 1.0
    """How much longer the dialogues are whose scores are higher."""
    seeds: Sequence[int] = (0,)
    has_gold: bool = True

    def study(self, seed: int) -> Study:
        """A study drawn from the population."""
        scores, lengths = self._draw(np.random.default_rng(seed))
        records = tuple(self._records(scores, lengths))
        return study_of(records)

    def lengths(self, effect: Floats) -> Floats:
        """Chances of 1, 2, ... turns for dialogues of these effects; shape (dialogues, turns)."""
        offsets = np.arange(self.num_turns) / (self.num_turns - 1) - 0.5
        weights = np.exp(self.length_effect * effect[:, None] * offsets)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def logits(self, place: Place, effect: Floats, share: Floats) -> Floats:
        """Logits without the turn's difficulty, shape (dialogues, turns)."""
        known, earlier = self.effects[place[0]], np.arange(self.num_turns)
        part = {"own": 1.0, "step": self.skill, "gold": 0.0}[place[1]]
        lost = known.decay * earlier + known.loss * part * share[:, None] * earlier
        return np.asarray(known.level + effect[:, None] - lost)

    def _draw(self, rng: np.random.Generator) -> tuple[dict[tuple[Place, int], Floats], Whole]:
        size = self.num_samples
        effect = rng.normal(0, self.between, size)
        share = 1 + self.uneven * rng.choice([-1, 1], size)
        chances = self.lengths(effect).cumsum(axis=1)
        lengths = 1 + (rng.random((size, 1)) > chances).sum(axis=1)
        difficulty = rng.normal(0, self.difficulty, (size, self.num_turns))
        scores = {}
        for strategy in self.effects:
            for kind in ("own", "step", "gold"):
                place = strategy, kind
                chance = expit(self.logits(place, effect, share) + difficulty)
                for seed in self.seeds:
                    scores[place, seed] = rng.binomial(FULL_MARKS, chance) / FULL_MARKS
        return scores, np.minimum(lengths, self.num_turns)

    def _records(self, scores: Mapping[tuple[Place, int], Floats], lengths: Whole) -> Iterator[Record]:
        histories = ("own", "gold") if self.has_gold else ("own",)
        for strategy, history, seed in product(self.effects, histories, self.seeds):
            grid = scores[(strategy, history), seed].tolist()
            steps = scores[(strategy, "step" if history == "own" else "gold"), seed].tolist()
            for row, length in enumerate(lengths.tolist()):
                for column in range(0 if history == "own" else 1, length):
                    key = Key(strategy, history, seed, sample_key(row), column + 1)
                    yield record(key, grid[row][column], step_score=steps[row][column])


def expit(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))


@cache
def sample_key(row: int) -> SampleKey:
    return SampleKey(CLASSES[row % 3], f"d{row % 4}", f"t{row % 12}", f"s{row:05d}")


def record(key: Key, score: float, step_score: float | None = None, **more: Any) -> Record:
    """A scored image turn; `more` are fields that few turns have."""
    plain = Record(
        key=key, oracle=False, modality="image", outcome="scored", score=score, step_score=step_score,
        human=None, second=None, dynamic=False, cost=NO_COST, place="",
    )  # fmt: skip
    return replace(plain, **more) if more else plain


def study_of(records: tuple[Record, ...]) -> Study:
    """A study of these records, all of which were planned."""
    return Study(
        folder=Path("simulated"),
        benchmark="simulated",
        backbone="simulated",
        records=records,
        planned={r.key: r.modality for r in records},
        num_candidates={},
        oracles=frozenset(),
        num_runs=1,
        arms={},
        warnings=(),
    )


class Truth:
    """The estimands of a world's whole population, by Gauss-Hermite quadrature over dialogues and turns."""

    def __init__(self, world: World, baseline: str = "direct") -> None:
        self.world, self.baseline = world, baseline
        nodes, weights = np.polynomial.hermite_e.hermegauss(41)
        half = len(nodes)
        self.effect = np.tile(nodes * world.between, 2)
        self.share = np.repeat([1 - world.uneven, 1 + world.uneven], half)
        self.chance = np.tile(weights / weights.sum(), 2) / 2
        self.lengths = world.lengths(self.effect)

    def of(self, strategy: str) -> dict[str, float]:
        """Every estimand of a strategy, by its name in analysis.json."""
        own, step, gold = (self.mean_scores(strategy, kind) for kind in ("own", "step", "gold"))
        gap, lost = self.mean(gold - own, first=2), self.mean(gold - step, first=2)
        found = {
            "mean": self.mean(own),
            "pooled_slope": self.pooled_slope(own),
            "within_slope": self.slope(own),
            "within_slope_gold": self.slope(gold),
            "eb": gap,
            "eb_slope": self.slope(gold - own),
            "eb_step": lost,
            "eb_inherited": gap - lost,
            "eb_step_share": lost / gap,
            "slope_composition": self.pooled_slope(own) - self.slope(own),
            "attributable_fraction": 1 - self.slope(gold) / self.slope(own),
        }
        return found | (self._compared(own, gold, lost) if strategy != self.baseline else {})

    def mean_scores(self, strategy: str, kind: str) -> Floats:
        """Expected scores at each node and turn; turn 1 of gold history is that of own history."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(21)
        logits = self.world.logits((strategy, kind), self.effect, self.share)
        shifted = expit(logits[..., None] + self.world.difficulty * nodes)
        return np.asarray(shifted @ (weights / weights.sum()))

    def mean(self, scores: Floats, first: int = 1) -> float:
        """The mean over cells from a turn on."""
        weights = self._at_turn[:, first - 1 :]
        return float((weights * scores[:, first - 1 :]).sum() / weights.sum())

    def slope(self, scores: Floats) -> float:
        """Least squares on the turn with fixed effects of dialogues."""
        above = below = 0.0
        for length in range(1, self.world.num_turns + 1):
            weights = self.chance * self.lengths[:, length - 1]
            offsets = np.arange(length) - (length - 1) / 2
            above += float(weights @ (scores[:, :length] @ offsets))
            below += float(weights.sum() * (offsets**2).sum())
        return above / below

    def pooled_slope(self, scores: Floats) -> float:
        """Least squares on the turn with one intercept."""
        weights, turns = self._at_turn, np.arange(self.world.num_turns)
        centre = (weights * turns).sum() / weights.sum()
        above = (weights * (turns - centre) * scores).sum()
        return float(above / (weights * (turns - centre) ** 2).sum())

    @cached_property
    def _at_turn(self) -> Floats:
        """The chance of each node and that the dialogue has the turn."""
        reached = self.lengths[:, ::-1].cumsum(axis=1)[:, ::-1]
        return np.asarray(self.chance[:, None] * reached)

    def _compared(self, own: Floats, gold: Floats, lost: float) -> dict[str, float]:
        there_own, there_step, there_gold = (
            self.mean_scores(self.baseline, kind) for kind in ("own", "step", "gold")
        )
        gap, there = gold - own, there_gold - there_own
        logits = [_logit(self.mean(m, first=2)) for m in (there_gold, there_own, gold, own)]
        return {
            "mean_gain": self.mean(own - there_own),
            "slope_change": self.slope(own - there_own),
            "eb_reduction": self.mean(there - gap, first=2),
            "eb_slope_reduction": self.slope(there - gap),
            "eb_step_reduction": self.mean(there_gold - there_step, first=2) - lost,
            "eb_reduction_ratio": 1 - self.mean(gap, first=2) / self.mean(there, first=2),
            "eb_reduction_logit": (logits[0] - logits[1]) - (logits[2] - logits[3]),
        }


def _logit(mean: float) -> float:
    return float(np.log(mean / (1 - mean)))
