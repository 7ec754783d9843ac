"""Table T8: what an image turn costs, and what each unit beyond the baseline's buys."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.analysis.recompute.numbers import Scores
from tests.analysis.recompute.stored import Turn

Tree = dict[str, Any]


def costs(scores: Scores, baseline: str) -> Tree:
    """Costs of each arm under `arms_cost`."""
    means = {s: _mean_cost(scores, s) for s in scores.grids.stored.strategies}
    return {"arms_cost": means}


def _mean_cost(scores: Scores, strategy: str) -> dict[str, float]:
    rows = [
        _cost(turn)
        for turn in scores.grids.stored.recorded
        if (turn.strategy, turn.history, turn.modality) == (strategy, "own", "image")
    ]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _cost(turn: Turn) -> dict[str, float]:
    line = turn.line
    parts = {who: line["cost"].get(who, {}) for who in ("generator", "judge")}
    return {
        "images": line["images"],
        "nfe": line["nfe"],
        "generator_tokens": parts["generator"].get("new_tokens", 0),
        "judge_tokens": parts["judge"].get("new_tokens", 0),
        "generator_seconds": parts["generator"].get("seconds", 0.0),
        "judge_seconds": parts["judge"].get("seconds", 0.0),
    }
