"""Long tables of turns with made-up scores, in the form of the CSV that an analysis reads."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Effect", "Row", "Scores", "make_rows", "rows_of", "write_csv"]

CLASSES = ("static_spatial", "temporal_causal", "hybrid")
Row = dict[str, Any]
Scores = Mapping[str, Mapping[int, float | None]]
"""By sample and turn; None is a turn without a score."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a strategy does to scores: its level, and its decay per turn behind either history."""

    level: float = 0.75
    decay: float = 0.05
    gold_decay: float = 0.01


def make_rows(
    effects: Mapping[str, Effect],
    *,
    seed: int = 0,
    num_samples: int = 60,
    seeds: Sequence[int] = (0,),
    missing: float = 0.0,
    length_effect: float = 0.0,
) -> list[Row]:
    """Ragged dialogues with sample effects; scores in fifteenths.

    Args:
        missing: share of the rows that are left out at random.
        length_effect: what each further turn of a dialogue's length adds to all of its scores.
    """
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for number in range(num_samples):
        length = int(rng.integers(1, 7))
        base = rng.normal(0, 0.1) + length_effect * (length - 3.5)
        modalities = ["image"] + ["image" if rng.random() < 0.8 else "mcq" for _ in range(length - 1)]
        for strategy, effect in effects.items():
            for run in seeds:
                for turn, modality in enumerate(modalities, 1):
                    for history in ("own", "gold")[: 1 + (turn > 1)]:
                        decay = effect.decay if history == "own" else effect.gold_decay
                        score = effect.level + base - decay * (turn - 1) + rng.normal(0, 0.12)
                        row = _row(strategy, run, number, turn, length, modality, history)
                        if rng.random() >= missing:
                            rows.append(row | {"score": round(15 * min(1, max(0, score))) / 15})
    return rows


def rows_of(
    strategy: str, scores: Scores, history: str = "own", seed: int = 0, modality: str = "image", **more: Any
) -> list[Row]:
    """The rows of one arm whose scores are known by hand; `more` are further columns."""
    fixed = {"strategy": strategy, "history": history, "seed": seed, "modality": modality}
    fixed |= {"class": "a", "domain": "d", "task": "t"}
    return [
        fixed | {"sample_id": sample, "turn": turn, "score": "" if score is None else score} | more
        for sample, turns in scores.items()
        for turn, score in turns.items()
    ]


def _row(strategy: str, run: int, number: int, turn: int, length: int, modality: str, history: str) -> Row:
    task = f"t{number % 12}"
    return {
        "run": f"{strategy}-{history}-{run}",
        "strategy": strategy,
        "seed": run,
        "class": CLASSES[number % 3],
        "domain": f"d{number % 4}",
        "task": task,
        "sample_id": f"s{number}",
        "turn": turn,
        "n_turns": length,
        "modality": modality,
        "history": history,
        "nfe": 50,
        "seconds": 6.0,
    }


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    """Write the rows, with every column that any of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path
