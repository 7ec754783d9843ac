"""Writes analysis.json: every number of an analysis; undefined numbers are null."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from analysis.ablation import Ablation
from analysis.inference import Estimate, undefined

__all__ = ["to_json"]

_ELSEWHERE = {"estimates", "pairs"}
"""Fields left out: estimates stand under `strategies`, and the scores of single turns are in the records."""


def to_json(result: Ablation) -> dict[str, Any]:
    """The content of analysis.json.

    `strategies` maps strategy -> estimand -> {est, se, ci, p, p_adjusted, n_samples, n_missing, ...}; the key
    "all" holds estimates over several strategies. `sentences` maps strategy -> its finding. `claims` maps
    strategy -> the rules of its finding that state an effect, or the absence of one.
    """
    strategies = {arm.strategy: dict(arm.estimates) for arm in result.arms}
    strategies["all"] = _spanning(result)
    whole: dict[str, Any] = _plain(result)
    return {
        "tier": result.tier,
        "strategies": _plain(strategies),
        "sentences": {arm.strategy: arm.finding.sentence for arm in result.arms},
        "claims": {arm.strategy: list(arm.finding.claims) for arm in result.arms},
        "tiers": {arm.strategy: arm.finding.tier for arm in result.arms},
    } | whole


def _spanning(result: Ablation) -> dict[str, Estimate]:
    plain = [ladder for ladder in result.ladders if not ladder.family.startswith("oracle")]
    why = (
        "no strategies differ only in the number of candidates; for other names that end in a number use "
        "--ladder"
        if not plain
        else "several ladders: see ladders"
    )
    doubling = plain[0].gain_per_doubling if len(plain) == 1 else undefined(why)
    found = result.agreement
    if found is None:
        return {"gain_per_doubling": doubling}
    return {
        "gain_per_doubling": doubling, "pearson": found.pearson, "icc": found.icc, "alpha": found.alpha,
        "scorer_bias": found.bias,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (f.name for f in dataclasses.fields(value) if f.name not in _ELSEWHERE)
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
