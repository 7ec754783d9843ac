"""Studies whose scores fall by a known number of logits per turn, so that level and loss are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.records import Cost, Key, Record, SampleKey, Study

__all__ = ["Logits", "logit_study"]

_NO_COST = Cost(*[float("nan")] * 6)
FULL_MARKS = 15


@dataclass(frozen=True, kw_only=True)
class Logits:
    """The score of turn 1, and what each later turn loses on own and on gold history; in logits."""

    level: float = 0.5
    loss: float = 0.35
    gold_loss: float = 0.0


def logit_study(
    arms: Mapping[str, Logits], *, seed: int, num_samples: int = 100, num_turns: int = 6
) -> Study:
    """One image dialogue per sample, all arms on the same ones; scores in fifteenths."""
    rng = np.random.default_rng(seed)
    dialogues = rng.normal(0, 0.8, num_samples)
    records = tuple(
        _record(Key(strategy, history, 0, SampleKey("a", "d", f"t{i % 12}", f"s{i}"), turn), score)
        for strategy, arm in arms.items()
        for i, dialogue in enumerate(dialogues)
        for turn in range(1, num_turns + 1)
        for history in ("own", "gold")[: 1 + (turn > 1)]
        for score in [_score(rng, arm, dialogue, turn, history)]
    )
    return Study(
        folder=Path("study"), benchmark="toy", backbone="toy", records=records,
        planned={record.key: "image" for record in records}, num_candidates={}, oracles=frozenset(),
        num_runs=len(arms), arms={}, warnings=(),
    )  # fmt: skip


def _score(rng: np.random.Generator, arm: Logits, dialogue: float, turn: int, history: str) -> float:
    loss = arm.loss if history == "own" else arm.gold_loss
    logit = arm.level + dialogue + rng.normal(0, 0.3) - loss * (turn - 1)
    return float(rng.binomial(FULL_MARKS, 1 / (1 + np.exp(-logit)))) / FULL_MARKS


def _record(key: Key, score: float) -> Record:
    return Record(
        key=key, oracle=False, modality="image", outcome="scored", score=score, step_score=None, human=None,
        second=None, dynamic=False, cost=_NO_COST, place="made up",
    )  # fmt: skip
