"""One prefill for N candidates, and a cache of prompt prefixes across calls.

`Prefix` holds the keys and values of a prompt. `PrefixStore` caches prefixes up to a byte limit and returns
the longest cached prefix of a new prompt. `Rows` decodes candidates in one batch, each after its own prefix,
which is computed once and repeated for its candidates. All of it works for causal networks of transformers
that take `inputs_embeds` and a `Cache`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

__all__ = ["PrefillCounts", "Prefix", "PrefixStore", "Rows", "extended"]


@dataclass(frozen=True, eq=False)
class Prefix:
    """Keys and values of the first `length` tokens of a prompt: per layer, (1, heads, tokens, head width)."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    length: int

    @property
    def nbytes(self) -> int:
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def first(self, length: int) -> Prefix:
        """The prefix of the first `length` tokens; a view, not a copy."""
        cut = tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in self.layers)
        return Prefix(cut, length)


@dataclass(frozen=True)
class PrefillCounts:
    """Numbers of prompt tokens that were computed, and that were reused from the cache."""

    computed: int = 0
    reused: int = 0


class PrefixStore:
    """An LRU cache of prefixes by their tokens.

    A token is any hashable value, so an image's tokens can be identified by the image's SHA-256.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._bytes = limit_bytes, 0
        self._kept: OrderedDict[tuple[Hashable, ...], Prefix] = OrderedDict()
        self.counts = PrefillCounts()

    def longest(self, tokens: Sequence[Hashable]) -> Prefix | None:
        """The longest cached prefix that `tokens` begins with; None if there is none."""
        wanted = tuple(tokens)
        best = max(self._kept, key=lambda kept: _shared(kept, wanted), default=())
        shared = _shared(best, wanted)
        if best:
            self._kept.move_to_end(best)
        self.counts = PrefillCounts(self.counts.computed + len(wanted) - shared, self.counts.reused + shared)
        return self._kept[best].first(shared) if shared else None

    def put(self, tokens: Sequence[Hashable], prefix: Prefix) -> None:
        """Cache a prefix in place of the cached prefixes that it extends. A prefix above the byte limit is
        not cached.
        """
        key = tuple(tokens)
        for covered in [kept for kept in self._kept if key[: len(kept)] == kept]:
            self._bytes -= self._kept.pop(covered).nbytes
        self._kept[key] = prefix
        self._bytes += prefix.nbytes
        while self._bytes > self._limit_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes

    def clear(self) -> bool:
        """Drop all cached prefixes; return whether there were any."""
        had_any = bool(self._kept)
        self._kept.clear()
        self._bytes = 0
        return had_any


def _shared(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """The length of the longest common prefix of two sequences."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


@torch.inference_mode()
def extended(network: Any, prefix: Prefix | None, embeds: Tensor) -> Prefix:
    """The prefix followed by more tokens.

    Args:
        network: a causal network of transformers.
        prefix: the prefix to extend; None for the empty one.
        embeds: embeddings of the added tokens, shape (1, tokens, width); at least one.
    """
    cache = Cache(
        layers=[_layer(keys, values) for keys, values in prefix.layers] if prefix else None,
        layer_class_to_replicate=None if prefix else DynamicLayer,
    )
    network(inputs_embeds=embeds, past_key_values=cache, use_cache=True)
    held: list[Any] = list(cache.layers)
    return Prefix(tuple((layer.keys, layer.values) for layer in held), held[0].keys.shape[2])


def _layer(keys: Tensor, values: Tensor) -> DynamicLayer:
    layer = DynamicLayer()  # type: ignore[no-untyped-call]
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    return layer


class _RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A cache layer with preallocated memory for further tokens, so that a step copies no earlier keys and
    values.
    """

    def __init__(self, pairs: Sequence[tuple[Tensor, Tensor]], repeats: Sequence[int], room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(*pairs[0])
        self._filled = max(keys.shape[2] for keys, _ in pairs)
        self._room = tuple(self._merged(each, repeats, room) for each in zip(*pairs, strict=True))
        self.keys, self.values = (held[:, :, : self._filled] for held in self._room)

    def _merged(self, pieces: Sequence[Tensor], repeats: Sequence[int], room: int) -> Tensor:
        """All rows in one tensor; shorter prefixes are padded on the left."""
        _, heads, _, width = pieces[0].shape
        merged = pieces[0].new_zeros(sum(repeats), heads, self._filled + room, width)
        row = 0
        for piece, count in zip(pieces, repeats, strict=True):
            merged[row : row + count, :, self._filled - piece.shape[2] : self._filled] = piece
            row += count
        return merged

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        end = self._filled + key_states.shape[2]
        for held, new in zip(self._room, (key_states, value_states), strict=True):
            held[:, :, self._filled : end] = new
        self._filled = end
        self.keys, self.values = (held[:, :, :end] for held in self._room)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        self._room = tuple(held[indices.to(held.device)] for held in self._room)
        self.keys, self.values = (held[:, :, : self._filled] for held in self._room)


class Rows:
    """Candidates that are decoded in one batch, each after its own prefix.

    Args:
        network: a causal network of transformers.
        prefixes: one prefix for each prompt; lengths may differ.
        repeats: number of rows for each prefix.
        room: maximum number of new tokens per row.
    """

    def __init__(self, network: Any, prefixes: Sequence[Prefix], repeats: Sequence[int], room: int) -> None:
        self._network = network
        by_layer = zip(*(prefix.layers for prefix in prefixes), strict=True)
        self._cache = Cache(layers=[_RoomyLayer(pairs, repeats, room) for pairs in by_layer])
        lengths = [prefix.length for prefix in prefixes]
        self._places = torch.tensor(lengths).repeat_interleave(torch.tensor(list(repeats)))
        widest = max(lengths)
        is_ragged = min(lengths) < widest
        filled = torch.arange(widest)[None] >= widest - self._places[:, None]
        self._mask = filled.long() if is_ragged else None

    def __len__(self) -> int:
        return len(self._places)

    @torch.inference_mode()
    def forward(self, embeds: Tensor) -> Tensor:
        """Append one token to each row; returns the last hidden states, shape (rows, width).

        Args:
            embeds: embeddings of the tokens, shape (rows, width).
        """
        if self._mask is not None:
            self._mask = torch.cat([self._mask, torch.ones(len(self), 1, dtype=torch.long)], dim=1)
        output = self._network(
            inputs_embeds=embeds[:, None],
            attention_mask=None if self._mask is None else self._mask.to(embeds.device),
            position_ids=self._places[:, None].to(embeds.device),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._places = self._places + 1
        hidden: Tensor = output.last_hidden_state[:, -1]
        return hidden

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows except these."""
        chosen = torch.tensor(list(rows))
        self._cache.batch_select_indices(chosen)
        self._places = self._places[chosen]
        self._mask = None if self._mask is None else self._mask[chosen]
