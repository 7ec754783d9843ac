"""Inference for the pocket model's Llama weights: shared prefixes, forked rows, one random stream per row.

All arithmetic uses the dtype of the weights. In float64, rounding differs between batch shapes by about 1e-15
of a logit, far below the gaps of perturbed logits, so a row's tokens do not depend on its batch.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from imug_tts.backbones.pocket.prefix_cache import PrefixCache, Span

_BATCH_TOKENS = 12_000
"""Maximum tokens in the keys of one batch, prefixes included. A token takes some 10 KB, so the keys stay in
the processor's cache from step to step.
"""

_ROW_TOKENS = 40
"""Tokens that a row adds after its prefix, roughly."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The fields of a LlamaConfig that inference needs."""

    num_hidden_layers: int
    num_attention_heads: int
    rope_theta: float
    rms_norm_eps: float


@dataclass
class Counters:
    """Counters of the work since the decoder was created."""

    forward_seconds: float = 0.0
    """Time in which at least one forward pass was running."""
    prefilled_tokens: int = 0
    cached_tokens: int = 0
    _running: int = 0
    _began: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """A context whose duration counts as a forward pass."""
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self.forward_seconds += time.perf_counter() - self._began


@dataclass(frozen=True)
class Rotation:
    """Rotary cosines and sines, broadcast over heads."""

    cos: Tensor
    sin: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The rotated `x`, in the half-split convention of transformers' Llama."""
        low, high = x.chunk(2, -1)
        return x * self.cos + torch.cat([-high, low], -1) * self.sin


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class _Layer:
    attention_norm: Tensor
    qkv: Tensor
    attention_out: Tensor
    mlp_norm: Tensor
    mlp_in: Tensor
    mlp_out: Tensor


class Batch(NamedTuple):
    """Groups of rows that are computed in one batch. Each group has `forks` rows after one prefix."""

    groups: list[int]
    forks: int


class Rows:
    """Rows of tokens that are decoded together. Each prefix is shared by a group of `forks` rows.

    Keys and values of a prefix are stored once per group; those of later tokens are stored per row. `start`
    is the length of each row's prefix in tokens: the position of the row's next token.
    """

    def __init__(
        self, decoder: Decoder, prefixes: Sequence[Span | None], forks: int, max_tokens: int
    ) -> None:
        self.decoder, self.forks, self.step = decoder, forks, 0
        with decoder.counters.timed():
            self.prefix, lengths = decoder.padded(prefixes)
        self.start = lengths.repeat_interleave(forks)
        padding = torch.arange(self.prefix.shape[-2])[None] >= lengths[:, None]
        self.mask = torch.zeros(padding.shape, dtype=decoder.dtype).masked_fill_(padding, float("-inf"))
        layers, _, groups, heads, _, width = self.prefix.shape
        self.own = torch.empty((layers, 2, groups * forks, heads, max_tokens, width), dtype=decoder.dtype)

    def advance(self, ids: Tensor) -> Tensor:
        """Append tokens (rows, tokens); returns their last hidden states (rows, tokens, width)."""
        decoder, tokens = self.decoder, ids.shape[1]
        with decoder.counters.timed(), torch.inference_mode():
            steps = self.step + torch.arange(tokens)
            rotation = decoder.rotation(self.start[:, None] + steps)
            later = torch.arange(self.step + tokens)[None] > steps[:, None]
            causal = torch.zeros(later.shape, dtype=decoder.dtype).masked_fill_(later, float("-inf"))
            x = decoder.embedding[ids]
            for number, layer in enumerate(decoder.layers):
                x = decoder.layer(layer, x, partial(self._attend, number, rotation, causal))
            self.step += tokens
            return decoder.normed(x, decoder.norm)

    def logits(self, ids: Tensor, head: Tensor) -> Tensor:
        """Append one token per row, ids (rows,); returns the logits (rows, choices) for a head (choices,
        width).
        """
        with self.decoder.counters.timed():
            return self.advance(ids[:, None])[:, 0] @ head.T

    def _attend(self, at: int, rotation: Rotation, causal: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention over the group's prefix (far) and the row's own keys (near) with one softmax.

        q, k, v: (rows, tokens, heads, head width); returns (rows, tokens, width).
        """
        tokens, heads, width = q.shape[1:]
        q = (rotation(q) * width**-0.5).transpose(1, 2)
        end, forks = self.step + tokens, self.forks
        own_k, own_v = self.own[at, 0, :, :, :end], self.own[at, 1, :, :, :end]
        own_k[:, :, self.step :], own_v[:, :, self.step :] = rotation(k).transpose(1, 2), v.transpose(1, 2)
        near = _by_group(q @ own_k.mT + causal, forks)
        asked = _by_group(q, forks).flatten(2, 3)
        far = (asked @ self.prefix[at, 0].mT).view(*near.shape[:-1], -1) + self.mask[:, None, None, None]
        top = torch.maximum(far.amax(-1), near.amax(-1))[..., None]
        far, near = far.sub_(top).exp_(), (near - top).exp_()
        total = far.sum(-1) + near.sum(-1)
        of_own = near @ _by_group(own_v, forks)
        of_prefix = (far.flatten(2, 3) @ self.prefix[at, 1]).view(of_own.shape)
        mixed = (of_prefix + of_own) / total[..., None]
        return mixed.permute(0, 2, 3, 1, 4).reshape(-1, tokens, heads * width)

    def keep(self, groups: Tensor) -> Tensor:
        """Drop the rows of all other groups; returns the numbers of the kept rows."""
        rows = (groups[:, None] * self.forks + torch.arange(self.forks)).flatten()
        self.prefix, self.mask = self.prefix[:, :, groups], self.mask[groups]
        self.own, self.start = self.own[:, :, rows], self.start[rows]
        return rows


class Decoder:
    """A Llama's weights, named as in its state dict, and the prefix cache."""

    def __init__(
        self, weights: Mapping[str, Tensor], sizes: Sizes, dtype: torch.dtype, cache_bytes: int
    ) -> None:
        self.sizes, self.dtype, self.counters = sizes, dtype, Counters()
        self.cache = PrefixCache(cache_bytes)
        self.threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(
            self.threads, "pocket", initializer=torch.set_num_threads, initargs=(1,)
        )
        named = {name: tensor.to(dtype) for name, tensor in weights.items()}
        self.embedding, self.head = named["model.embed_tokens.weight"], named["lm_head.weight"]
        self.norm = named["model.norm.weight"]
        self.layers = [_layer(named, number) for number in range(sizes.num_hidden_layers)]
        width = self.embedding.shape[1] // sizes.num_attention_heads
        exponents = torch.arange(0, width, 2, dtype=torch.float64) / width
        self._rates = (sizes.rope_theta**-exponents).to(torch.float32).to(torch.float64)

    def rotation(self, positions: Tensor) -> Rotation:
        """The rotation for positions of any shape; a head axis is added before the last axis."""
        angles = positions[..., None, None] * torch.cat([self._rates, self._rates])
        return Rotation(angles.cos().to(self.dtype), angles.sin().to(self.dtype))

    def normed(self, x: Tensor, weight: Tensor) -> Tensor:
        """The root-mean-square norm of `x`."""
        return functional.rms_norm(x, (x.shape[-1],), weight, self.sizes.rms_norm_eps)

    def layer(self, layer: _Layer, x: Tensor, attend: Attend) -> Tensor:
        """The output of one layer for x (..., width); `attend` maps q, k, v (..., heads, head width) to (...,
        width).
        """
        heads = self.sizes.num_attention_heads
        qkv = functional.linear(self.normed(x, layer.attention_norm), layer.qkv)
        q, k, v = (part.reshape(*part.shape[:-1], heads, -1) for part in qkv.chunk(3, -1))
        x = x + functional.linear(attend(q, k, v), layer.attention_out)
        gate, up = functional.linear(self.normed(x, layer.mlp_norm), layer.mlp_in).chunk(2, -1)
        return x + functional.linear(functional.silu(gate) * up, layer.mlp_out)

    def padded(self, prefixes: Sequence[Span | None]) -> tuple[Tensor, Tensor]:
        """Keys and values of several prefixes, right-padded, and the prefixes' lengths.

        Shapes: (layers, 2, rows, heads, tokens, head width) and (rows,).
        """
        lengths = torch.tensor([0 if span is None else span.end for span in prefixes])
        heads = self.sizes.num_attention_heads
        width = self.embedding.shape[1] // heads
        shape = (len(self.layers), 2, len(prefixes), heads, max(1, int(lengths.max())), width)
        side_by_side = torch.zeros(shape, dtype=self.dtype)
        for row, span in enumerate(prefixes):
            for piece in [] if span is None else span.chain():
                start = piece.end - piece.values.shape[-2]
                side_by_side[:, :, row, :, start : piece.end] = piece.values
        return side_by_side, lengths

    def prefill(self, prompts: Sequence[Sequence[Sequence[int]]]) -> list[Span]:
        """The span of every prompt (a list of pieces); cached pieces are not computed again."""
        found: list[Span | None] = [None] * len(prompts)
        for depth in range(max(len(prompt) for prompt in prompts)):
            deep = [row for row, prompt in enumerate(prompts) if len(prompt) > depth]
            keys = {
                row: tuple(token for piece in prompts[row][: depth + 1] for token in piece) for row in deep
            }
            known = {keys[row]: self.cache.get(keys[row]) for row in deep}
            missing = {keys[row]: row for row in deep if known[keys[row]] is None}
            self.counters.cached_tokens += sum(
                len(prompts[row][depth]) for row in deep if keys[row] not in missing
            )
            pieces = [(found[row], prompts[row][depth]) for row in missing.values()]
            for key, span in zip(missing, self._extended(pieces), strict=True):
                self.cache.put(key, span)
                known[key] = span
            for row in deep:
                found[row] = known[keys[row]]
        return [span for span in found if span is not None]

    def _extended(self, pieces: Sequence[tuple[Span | None, Sequence[int]]]) -> list[Span]:
        def extend(batch: Batch) -> None:
            parents = [pieces[i][0] for i in batch.groups]
            ids = [pieces[i][1] for i in batch.groups]
            rows = Rows(self, parents, 1, max(len(row) for row in ids))
            rows.advance(_right_padded(ids))
            for row, (number, parent) in enumerate(zip(batch.groups, parents, strict=True)):
                own = rows.own[:, :, row, :, : len(ids[row])].clone()
                spans[number] = Span(parent, own, _end(parent) + len(ids[row]))

        spans: dict[int, Span] = {}
        self.each(extend, self.batches([parent for parent, _ in pieces], [1] * len(pieces)))
        self.counters.prefilled_tokens += sum(len(ids) for _, ids in pieces)
        return [spans[number] for number in range(len(pieces))]

    def last_hidden(self, prefixes: Sequence[Span], ids: Sequence[Sequence[int]], count: int) -> Tensor:
        """Hidden states of the last `count` tokens of each row of `ids`, not cached: (rows, count, width)."""
        sharing = defaultdict[int, list[int]](list)
        for number, span in enumerate(prefixes):
            sharing[id(span)].append(number)
        groups = list(sharing.values())
        hidden = torch.empty((len(ids), count, self.embedding.shape[1]), dtype=self.dtype)

        def look(batch: Batch) -> None:
            members = [number for group in batch.groups for number in groups[group]]
            shown = [ids[number] for number in members]
            rows = Rows(
                self, [prefixes[groups[g][0]] for g in batch.groups], batch.forks, max(map(len, shown))
            )
            states = rows.advance(_right_padded(shown))
            for row, number in enumerate(members):
                hidden[number] = states[row, len(ids[number]) - count : len(ids[number])]

        self.each(
            look, self.batches([prefixes[group[0]] for group in groups], [len(group) for group in groups])
        )
        self.counters.prefilled_tokens += sum(len(row) for row in ids)
        return hidden

    def batches(self, prefixes: Sequence[Span | None], forks: Sequence[int]) -> list[Batch]:
        """Batches of groups with equal forks and similar prefix lengths, at least one batch per thread."""
        by_forks = defaultdict[int, list[int]](list)
        for number, count in enumerate(forks):
            by_forks[count].append(number)
        return [
            Batch(groups, count)
            for count, numbers in by_forks.items()
            for groups in self._split(numbers, [_end(prefixes[n]) + _ROW_TOKENS * count for n in numbers])
        ]

    def _split(self, numbers: Sequence[int], tokens: Sequence[int]) -> Iterator[list[int]]:
        limit = min(_BATCH_TOKENS, -(-sum(tokens) // self.threads))
        batch: list[int] = []
        held = 0
        for size, number in sorted(zip(tokens, numbers, strict=True)):
            if batch and held + size > limit:
                yield batch
                batch, held = [], 0
            batch.append(number)
            held += size
        if batch:
            yield batch

    def each(self, work: Callable[[Batch], None], batches: Sequence[Batch]) -> None:
        """Run `work` on the batches in parallel threads: the matrices are too small for several threads
        each.
        """
        list(self._pool.map(work, batches))


def _by_group(x: Tensor, forks: int) -> Tensor:
    """The view of (rows, heads, tokens, width) as (groups, heads, forks, tokens, width)."""
    return x.view(-1, forks, *x.shape[1:]).transpose(1, 2)


def _end(span: Span | None) -> int:
    return 0 if span is None else span.end


def _right_padded(ids: Sequence[Sequence[int]]) -> Tensor:
    longest = max(len(row) for row in ids)
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids])


def _layer(named: Mapping[str, Tensor], number: int) -> _Layer:
    def weight(name: str) -> Tensor:
        return named[f"model.layers.{number}.{name}.weight"]

    return _Layer(
        attention_norm=weight("input_layernorm"),
        qkv=torch.cat([weight(f"self_attn.{part}_proj") for part in "qkv"]),
        attention_out=weight("self_attn.o_proj"),
        mlp_norm=weight("post_attention_layernorm"),
        mlp_in=torch.cat([weight("mlp.gate_proj"), weight("mlp.up_proj")]),
        mlp_out=weight("mlp.down_proj"),
    )
