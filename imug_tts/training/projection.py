"""Combine the gradients of several capabilities so that none undoes another or the hard labels.

A gradient is a sequence of tensors, one for each trained parameter, None where a loss does not reach the
parameter. Inner products run over all parameters together, in float64.

Source: asymmetric gradient projection of Drive-KD (arXiv 2601.21288); its second stage is the gradient
surgery of PCGrad (arXiv 2001.06782) applied to merged gradients.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from torch import Tensor

__all__ = ["Combined", "Gradient", "Projection", "combine", "cosine", "inner", "without_conflict"]

Gradient = Sequence[Tensor | None]
Projection = Literal["both", "anchor", "shuffled", "none"]
"""Which stages run: both, the anchor stage alone, the shuffled symmetric stage alone, or none."""

_SMALLEST_SQUARE: Final = 1e-20
"""A squared norm below it counts as this much, so that a gradient of zeros projects nothing."""


@dataclass(frozen=True)
class Combined:
    """The gradient to apply, and by capability its cosine with the anchor before any projection."""

    gradient: list[Tensor | None]
    cosines: dict[str, float]


def combine(
    anchor: Gradient, followers: Mapping[str, Gradient], projection: Projection, shuffle: random.Random
) -> Combined:
    """Combine the weighted gradient of the hard labels with those of the capabilities.

    With a projection stage the anchor counts once for each capability, as in the source, because it is merged
    into each. With "none" it counts once, so "none" differs in the weight of the hard labels too.
    Without a capability the result is the anchor.

    Args:
        anchor: the gradient of the hard labels; never changed.
        followers: the gradient of each capability.
        projection: the stages that run.
        shuffle: draws the order of the symmetric stage.

    Raises:
        ValueError: the projection is unknown, or gradients are of different numbers of parameters.
    """
    if projection not in get_args(Projection):
        raise ValueError(f"projection is {projection!r}; allowed are {', '.join(get_args(Projection))}")
    cosines = {name: cosine(anchor, follower) for name, follower in followers.items()}
    if projection == "none" or not followers:
        return Combined(_sum([anchor, *followers.values()]), cosines)
    if projection != "shuffled":
        followers = {name: without_conflict(one, anchor) for name, one in followers.items()}
    merged: dict[str, Gradient] = {name: _sum([anchor, one]) for name, one in followers.items()}
    if projection != "anchor":
        merged = _symmetric(merged, shuffle)
    return Combined(_sum(list(merged.values())), cosines)


def without_conflict(gradient: Gradient, other: Gradient) -> Gradient:
    """The gradient without its part against the other; unchanged where the inner product is not negative."""
    product = inner(gradient, other)
    if product >= 0:
        return gradient
    share = product / max(inner(other, other), _SMALLEST_SQUARE)
    return [_less(one, away, share) for one, away in zip(gradient, other, strict=True)]


def inner(gradient: Gradient, other: Gradient) -> float:
    """The inner product over all parameters."""
    products = [
        (one.detach().double() * two.detach().double()).sum().item()
        for one, two in zip(gradient, other, strict=True)
        if one is not None and two is not None
    ]
    return math.fsum(products)


def cosine(gradient: Gradient, other: Gradient) -> float:
    """The cosine of the angle between two gradients; 0 where one is zero."""
    norms = math.sqrt(inner(gradient, gradient) * inner(other, other))
    return inner(gradient, other) / norms if norms else 0.0


def _symmetric(merged: Mapping[str, Gradient], shuffle: random.Random) -> dict[str, Gradient]:
    """Project each gradient away from each of the others as these were before, in one shuffled order."""
    order = list(merged)
    shuffle.shuffle(order)
    projected = dict(merged)
    for name in order:
        for other in order:
            if other != name:
                projected[name] = without_conflict(projected[name], merged[other])
    return projected


def _less(one: Tensor | None, away: Tensor | None, share: float) -> Tensor | None:
    return one if one is None or away is None else one - share * away


def _sum(gradients: Sequence[Gradient]) -> list[Tensor | None]:
    return [_total([one for one in of_one if one is not None]) for of_one in zip(*gradients, strict=True)]


def _total(parts: Sequence[Tensor]) -> Tensor | None:
    return sum(parts[1:], start=parts[0]) if parts else None
