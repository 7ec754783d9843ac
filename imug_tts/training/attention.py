"""Attention maps averaged over heads, computed for one block of queries at a time, with their own backward
pass.

The weights of all heads and queries are never in memory together. The weights of a block are computed,
averaged and freed; the backward pass computes them again. Under a causal mask, a block has no keys after its
last query.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Rows", "attend", "mean_map"]

_BLOCKS: Final = 4
"""The least number of blocks. With 4 blocks, a causal mask saves 3/8 of the work."""
_WEIGHTS: Final = 1 << 23
"""The largest number of weights, over all heads, in a block of several queries."""


@dataclass(frozen=True)
class Rows:
    """Rows of a map to compute, as indices of query tokens in ascending order."""

    places: Tensor
    """The indices as a tensor (rows) on the device of the model."""
    numbers: Sequence[int]
    """The same indices as Python integers."""

    @classmethod
    def of(cls, places: Tensor) -> Rows:
        """Return the rows with these indices; synchronises with the device."""
        return cls(places, places.tolist())

    @classmethod
    def all(cls, query: Tensor) -> Rows:
        """Return all rows, one for each token of `query` (batch, heads, tokens, width)."""
        tokens = query.shape[2]
        return cls(torch.arange(tokens, device=query.device), range(tokens))


def mean_map(
    query: Tensor, key: Tensor, mask: Tensor | None, scaling: float, rows: Rows | None = None
) -> Tensor:
    """Return the attention weights after the softmax, averaged over heads; differentiable in query and key.

    Args:
        query: (1, heads, tokens, width).
        key: (1, key heads, tokens, width); consecutive query heads share one key head.
        mask: (1, 1, tokens, tokens), true (or 0) where a query may attend to a key, false (or the least
            number) elsewhere; None for a causal mask.
        scaling: the factor of the products of queries and keys.
        rows: the rows of the map to compute; None for all.

    Returns:
        (1, rows, tokens), in float32 or wider.
    """
    rows = rows or Rows.all(query)
    mean: Tensor = _MeanMap.apply(query, key, mask, scaling, rows)  # type: ignore[no-untyped-call]
    return mean


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float
) -> tuple[Tensor, Tensor]:
    """Return the output of attention, (1, tokens, heads, width), and its map as `mean_map` returns it.

    The results are not differentiable. Shapes are those of `mean_map`; `value` has the shape of `key`.
    """
    scores = _Scores(query, key, mask, scaling, Rows.all(query))
    output = scores.by_key_head(torch.empty_like(query[0]))
    mean = scores.new_map()
    for block in scores.blocks():
        weights = scores.weights(block)
        mean[block.rows, : block.keys] = weights.sum(dim=(0, 1)) / query.shape[1]
        mixed = weights.to(value.dtype).flatten(1, 2) @ value[0, :, : block.keys]
        output[:, :, block.rows] = mixed.view(*weights.shape[:3], -1)
    return output.flatten(0, 1).transpose(0, 1)[None], mean[None]


class _MeanMap(torch.autograd.Function):
    """The autograd function of `mean_map`. It keeps only query and key; the backward pass computes the
    weights again.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float, rows: Rows
    ) -> Tensor:
        ctx.save_for_backward(query, key, mask)
        ctx.scaling, ctx.rows = scaling, rows
        scores = _Scores(query, key, mask, scaling, rows)
        mean = scores.new_map()
        for block in scores.blocks():
            mean[block.rows, : block.keys] = scores.weights(block).sum(dim=(0, 1))
        return mean.div_(query.shape[1])[None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        query, key, mask = ctx.saved_tensors
        scores = _Scores(query, key, mask, ctx.scaling, ctx.rows)
        given = given[0] / query.shape[1]
        to_query = scores.by_key_head(torch.zeros_like(query[0]))
        to_key = given.new_zeros(key.shape[1:])
        for block in scores.blocks():
            weights = scores.weights(block)
            change = weights * given[block.rows, : block.keys]
            change.addcmul_(weights, change.sum(dim=-1, keepdim=True), value=-1)
            change = change.to(query.dtype).flatten(1, 2)
            own = (change @ key[0, :, : block.keys]).mul_(ctx.scaling)
            to_query[:, :, ctx.rows.places[block.rows]] = own.view(*weights.shape[:3], -1)
            to_key[:, : block.keys] += change.transpose(1, 2) @ scores.queries(block)
        return to_query.flatten(0, 1)[None], to_key.to(key.dtype)[None], None, None, None


class _Block(NamedTuple):
    """Consecutive rows of a map, with the keys that they may attend to."""

    rows: slice
    free: int
    """All rows may attend to every key before this index."""
    keys: int
    """No row may attend to this key or later ones."""


class _Scores:
    """Computes attention weights block by block, (key heads, query heads per key head, rows, keys)."""

    def __init__(self, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float, rows: Rows) -> None:
        self._query, self._key, self._mask, self._rows = query[0], key[0], mask, rows
        self._scaling = scaling
        self._wide = torch.promote_types(query.dtype, torch.float32)

    def new_map(self) -> Tensor:
        return self._query.new_zeros(len(self._rows.numbers), self._query.shape[1], dtype=self._wide)

    def blocks(self) -> Iterator[_Block]:
        numbers, (heads, tokens, _) = self._rows.numbers, self._query.shape
        size = max(1, min(-(-len(numbers) // _BLOCKS), _WEIGHTS // (heads * tokens)))
        for start in range(0, len(numbers), size):
            own = numbers[start : start + size]
            free, keys = (0, tokens) if self._mask is not None else (own[0] + 1, own[-1] + 1)
            yield _Block(slice(start, start + len(own)), free, keys)

    def queries(self, block: _Block) -> Tensor:
        """Return the scaled queries of a block, (key heads, query heads per key head * rows, width)."""
        own = self._query[:, self._rows.places[block.rows]] * self._scaling
        return self.by_key_head(own).flatten(1, 2)

    def by_key_head(self, heads: Tensor) -> Tensor:
        """Split the dimension of query heads into (key heads, query heads per key head)."""
        return heads.view(len(self._key), -1, *heads.shape[1:])

    def weights(self, block: _Block) -> Tensor:
        """Compute the weights of a block."""
        scores = self.queries(block) @ self._key[:, : block.keys].transpose(1, 2)
        scores = scores.view(len(scores), -1, block.rows.stop - block.rows.start, block.keys)
        scores[..., block.free :].masked_fill_(self._forbidden(block), -torch.inf)
        return scores.softmax(dim=-1, dtype=self._wide)

    def _forbidden(self, block: _Block) -> Tensor:
        """Return where a row may not attend, (rows, keys from `block.free` on)."""
        places = self._rows.places[block.rows]
        if self._mask is None:
            return torch.arange(block.free, block.keys, device=places.device) > places[:, None]
        mask = self._mask[0, 0, places]
        return ~mask if mask.dtype == torch.bool else mask < torch.finfo(mask.dtype).min / 2
