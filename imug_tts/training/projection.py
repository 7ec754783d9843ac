"""Combine the gradients of several losses, after projecting away components that are in conflict.

A gradient is a sequence with one tensor for each trained parameter. None means that the loss does not depend
on the parameter, which counts as a gradient of 0. Inner products are over all parameters together, in
float64.

Every projected gradient is a weighted sum of the given gradients. So the inner products of the given
gradients are computed once, the projections change only the weights of the sum, and the sum is computed once
at the end. No projected copy of a gradient is kept in memory.

Source: asymmetric gradient projection of Drive-KD (arXiv 2601.21288); its second stage is the gradient
surgery of PCGrad (arXiv 2001.06782) applied to merged gradients.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import torch
from torch import Tensor

from imug_tts.training.method import Projection

__all__ = ["Combined", "Gradient", "combine"]

Gradient = Sequence[Tensor | None]

_SMALLEST_SQUARE: Final = 1e-20
"""The least squared norm to divide by, so that a gradient of zeros causes no division by zero."""
_CHUNK: Final = 1 << 22
"""How many numbers of each gradient are converted to float64 at a time, to save memory."""
_CHUNK_ON_CPU: Final = 1 << 16
"""As `_CHUNK`, on the CPU: so few numbers that they stay in the processor's cache."""


@dataclass(frozen=True)
class Combined:
    """The combined gradient, with norms and angles of the given gradients."""

    gradient: list[Tensor | None]
    norms: dict[str, float]
    """The norm of each given gradient, unweighted."""
    cosines: dict[tuple[str, str], float]
    """The cosine between each pair of given gradients, before any projection; 0 if one of them is zero."""


def combine(
    gradients: Mapping[str, Gradient],
    weights: Mapping[str, float],
    anchor: str,
    projection: Projection,
    shuffle: random.Random,
    *,
    as_released: bool = False,
) -> Combined:
    """Combine the weighted gradient of the hard labels (the anchor) with the gradients of the other losses.

    With a projection stage, the anchor is added to the gradient of each other loss, as in the source, so it
    counts once per other loss. With "none" it counts once: "none" also differs in the weight of the hard
    labels. Without another loss the result is the anchor.

    Args:
        gradients: the gradient of each loss.
        weights: the weight of each gradient, 0 or more.
        anchor: the name of the loss of the hard labels; its gradient is never projected.
        projection: the stages that run.
        shuffle: draws the order of the symmetric stage.
        as_released: as the released trainer does, do not project at parameters that a gradient's loss does
            not depend on. A part of the conflict with the anchor then remains.

    Raises:
        ValueError: the projection is unknown, or gradients are of different numbers of parameters.
    """
    if projection not in get_args(Projection):
        raise ValueError(f"projection is {projection!r}; allowed are {', '.join(get_args(Projection))}")
    names = list(gradients)
    space = _Space([gradients[name] for name in names], as_released)
    given = {name: space.unit(place, weights[name]) for place, name in enumerate(names)}
    followers = {name: one for name, one in given.items() if name != anchor}
    if projection == "none" or not followers:
        total = sum(given.values(), torch.zeros_like(given[anchor]))
    else:
        total = _projected(space, given[anchor], followers, projection, shuffle)
    return Combined(space.gradient(total), *_geometry(space, names))


def _projected(
    space: _Space,
    anchor: Tensor,
    followers: Mapping[str, Tensor],
    projection: Projection,
    shuffle: random.Random,
) -> Tensor:
    """Return the weights of the sum of all merged gradients, after the stages of the projection."""
    if projection != "shuffled":
        followers = {name: space.without_conflict(one, anchor) for name, one in followers.items()}
    merged = {name: anchor + one for name, one in followers.items()}
    if projection != "anchor":
        merged = _symmetric(space, merged, shuffle)
    return torch.stack(list(merged.values())).sum(dim=0)


def _symmetric(space: _Space, merged: Mapping[str, Tensor], shuffle: random.Random) -> dict[str, Tensor]:
    """Remove from each gradient its conflict with every other gradient, in one shuffled order.

    The other gradients are taken as they were before this stage.
    """
    order = list(merged)
    shuffle.shuffle(order)
    projected = dict(merged)
    for name in order:
        for other in order:
            if other != name:
                projected[name] = space.without_conflict(projected[name], merged[other])
    return projected


def _geometry(space: _Space, names: Sequence[str]) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Return the norm of each gradient, and the cosine of each pair."""
    products = space.products.sum(dim=0)
    norms = products.diagonal().clamp_min(0).sqrt().tolist()
    cosines = {}
    for one, two in itertools.combinations(range(len(names)), 2):
        length = norms[one] * norms[two]
        cosines[names[one], names[two]] = products[one, two].item() / length if length else 0.0
    return dict(zip(names, norms, strict=True)), cosines


class _Space:
    """Weighted sums of given gradients. A sum is represented by weights, (parameters, gradients) in
    float64.
    """

    def __init__(self, basis: Sequence[Gradient], as_released: bool) -> None:
        self._rows = list(zip(*basis, strict=True))
        self._as_released = as_released
        self._reaches = torch.tensor([[part is not None for part in row] for row in self._rows])
        self.products = _products(self._rows, len(basis))
        """The inner products of the given gradients at each parameter, (parameters, gradients, gradients)."""

    def unit(self, place: int, weight: float) -> Tensor:
        """Return the weights of one given gradient times `weight`."""
        weights = torch.zeros(self._reaches.shape, dtype=torch.float64)
        weights[self._reaches[:, place], place] = weight
        return weights

    def inner(self, one: Tensor, other: Tensor) -> float:
        return torch.einsum("pi,pij,pj->", one, self.products, other).item()

    def without_conflict(self, one: Tensor, other: Tensor) -> Tensor:
        """Return `one` without its component along `other`; unchanged if their inner product is not
        negative.
        """
        product = self.inner(one, other)
        if product >= 0:
            return one
        away = product / max(self.inner(other, other), _SMALLEST_SQUARE) * other
        if self._as_released:
            away = away * (one != 0).any(dim=1, keepdim=True)
        return one - away

    def gradient(self, weights: Tensor) -> list[Tensor | None]:
        """Compute the weighted sum, in the data type of the given gradients."""
        return [_weighted(row, own) for row, own in zip(self._rows, weights.tolist(), strict=True)]


def _products(rows: Sequence[Sequence[Tensor | None]], count: int) -> Tensor:
    """Return the inner products at each parameter, on the CPU. A GPU is synchronised only once."""
    device = next((part.device for row in rows for part in row if part is not None), torch.device("cpu"))
    products = [_products_of_one(row, count, device) for row in rows]
    return torch.stack(products).cpu() if products else torch.zeros(0, count, count, dtype=torch.float64)


def _products_of_one(row: Sequence[Tensor | None], count: int, device: torch.device) -> Tensor:
    present = [place for place, part in enumerate(row) if part is not None]
    parts = [part.detach().flatten() for part in row if part is not None]
    products = torch.zeros(count, count, dtype=torch.float64, device=device)
    if not parts:
        return products
    places = torch.tensor(present, device=device)
    size = min(len(parts[0]), _CHUNK_ON_CPU if device.type == "cpu" else _CHUNK)
    wide = torch.empty(len(parts), size, dtype=torch.float64, device=device)
    for chunks in zip(*(torch.split(part, size) for part in parts), strict=True):
        own = wide[:, : len(chunks[0])]
        for place, chunk in enumerate(chunks):
            own[place].copy_(chunk)
        products[places[:, None], places] += own @ own.T
    return products


def _weighted(row: Sequence[Tensor | None], weights: Sequence[float]) -> Tensor | None:
    total: Tensor | None = None
    for part, weight in zip(row, weights, strict=True):
        if part is not None:
            total = part * weight if total is None else total.add_(part, alpha=weight)
    return total
