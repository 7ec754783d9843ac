"""Inference for the stock Llama weights of the pocket model: shared prefixes, forked rows, one stream a row.

All arithmetic is in the dtype of the weights given. In float64 rounding differs between batch shapes by about
1e-15 of a logit, far below the gaps of perturbed logits, so a row's tokens do not depend on its batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from imug_tts.backbones.pocket.prefix_cache import PrefixCache, Span

_MAX_PREFIX_TOKENS = 24_000
"""Prefix tokens that one batch may hold; bounds memory and keeps batches of like lengths together."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the arithmetic needs of a LlamaConfig."""

    num_hidden_layers: int
    num_attention_heads: int
    rope_theta: float
    rms_norm_eps: float


@dataclass
class Counters:
    """Work done since the decoder was made."""

    forward_seconds: float = 0.0
    prefilled_tokens: int = 0
    cached_tokens: int = 0
    decoded_tokens: int = 0


@dataclass(frozen=True)
class Rotation:
    """Rotary cosines and sines, broadcast over heads."""

    cos: Tensor
    sin: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Rotate in the half-split convention of transformers' Llama."""
        low, high = x.chunk(2, -1)
        return x * self.cos + torch.cat([-high, low], -1) * self.sin


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class _Forward:
    """hidden (rows, tokens, width); values (layers, 2, rows, heads, tokens, head width)."""

    hidden: Tensor
    values: Tensor


@dataclass(frozen=True)
class _Layer:
    attention_norm: Tensor
    qkv: Tensor
    attention_out: Tensor
    mlp_norm: Tensor
    mlp_in: Tensor
    mlp_out: Tensor


class Rows:
    """Rows that decode in step: groups of rows fork one prefix each, and go on with keys of their own.

    `start`, the tokens of each group's prefix, gives positions and masks the padding.
    """

    def __init__(self, decoder: Decoder, prefixes: Sequence[Span], forks: int, max_steps: int) -> None:
        self.decoder, self.forks, self.step = decoder, forks, 0
        self.prefix, lengths = decoder.padded(prefixes)
        self.start = lengths.repeat_interleave(forks)
        padding = torch.arange(self.prefix.shape[-2])[None] >= lengths[:, None]
        self.mask = torch.zeros(padding.shape, dtype=decoder.dtype).masked_fill_(padding, float("-inf"))
        layers, _, groups, heads, _, width = self.prefix.shape
        self.own = torch.zeros((layers, 2, groups * forks, heads, max_steps, width), dtype=decoder.dtype)

    def advance(self, ids: Tensor) -> Tensor:
        """Feed one token a row; returns the last hidden states (rows, width)."""
        decoder = self.decoder
        with decoder.timed():
            x = decoder.embedding[ids]
            rotation = decoder.rotation(self.start + self.step)
            for number, layer in enumerate(decoder.layers):
                x = decoder.layer(layer, x, partial(self._attend, number, rotation))
            self.step += 1
            decoder.counters.decoded_tokens += len(ids)
            return decoder.normed(x, decoder.norm)

    def _attend(self, at: int, rotation: Rotation, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v: (rows, heads, head width). One softmax over the group's prefix and the row's own keys."""
        rows, heads, width = q.shape
        q = rotation(q) * width**-0.5
        own_k, own_v = self.own[at, 0], self.own[at, 1]
        own_k[:, :, self.step], own_v[:, :, self.step] = rotation(k), v
        shown = slice(0, self.step + 1)
        grouped = q.view(-1, self.forks, heads, width).transpose(1, 2)
        far = grouped @ self.prefix[at, 0].mT + self.mask[:, None, None]
        near = (own_k[:, :, shown] @ q[..., None]).squeeze(-1)
        span = far.shape[-1]
        far = far.transpose(1, 2).reshape(rows, heads, span)
        weights = torch.cat([far, near], -1).softmax(-1)
        of_prefix = weights[..., :span].view(-1, self.forks, heads, span).transpose(1, 2) @ self.prefix[at, 1]
        of_own = weights[..., None, span:] @ own_v[:, :, shown]
        return of_prefix.transpose(1, 2).reshape(rows, -1) + of_own.reshape(rows, -1)

    def keep(self, chosen: Tensor) -> None:
        """Go on with some of the rows only; possible where no prefix is forked."""
        self.prefix, self.own = self.prefix[:, :, chosen], self.own[:, :, chosen]
        self.mask, self.start = self.mask[chosen], self.start[chosen]


class Decoder:
    """A Llama's weights, flat as in its state dict, and the prefix cache."""

    def __init__(
        self, weights: Mapping[str, Tensor], sizes: Sizes, dtype: torch.dtype, cache_bytes: int
    ) -> None:
        self.sizes, self.dtype, self.counters = sizes, dtype, Counters()
        self.cache = PrefixCache(cache_bytes)
        named = {name: tensor.to(dtype) for name, tensor in weights.items()}
        self.embedding, self.head = named["model.embed_tokens.weight"], named["lm_head.weight"]
        self.norm = named["model.norm.weight"]
        self.layers = [_layer(named, number) for number in range(sizes.num_hidden_layers)]
        width = self.embedding.shape[1] // sizes.num_attention_heads
        exponents = torch.arange(0, width, 2, dtype=torch.float64) / width
        self._rates = (sizes.rope_theta**-exponents).to(torch.float32).to(torch.float64)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time inside as forward passes."""
        started = time.perf_counter()
        with torch.inference_mode():
            yield
        self.counters.forward_seconds += time.perf_counter() - started

    def rotation(self, positions: Tensor) -> Rotation:
        """Rotation for positions of any shape; a head axis is added before the last."""
        angles = positions[..., None, None] * torch.cat([self._rates, self._rates])
        return Rotation(angles.cos().to(self.dtype), angles.sin().to(self.dtype))

    def normed(self, x: Tensor, weight: Tensor) -> Tensor:
        """Root-mean-square norm."""
        return functional.rms_norm(x, (x.shape[-1],), weight, self.sizes.rms_norm_eps)

    def layer(self, layer: _Layer, x: Tensor, attend: Attend) -> Tensor:
        """One layer on (..., width); `attend` maps q, k, v (..., heads, head width) to (..., width)."""
        heads = self.sizes.num_attention_heads
        qkv = functional.linear(self.normed(x, layer.attention_norm), layer.qkv)
        q, k, v = (part.reshape(*part.shape[:-1], heads, -1) for part in qkv.chunk(3, -1))
        x = x + functional.linear(attend(q, k, v), layer.attention_out)
        gate, up = functional.linear(self.normed(x, layer.mlp_norm), layer.mlp_in).chunk(2, -1)
        return x + functional.linear(functional.silu(gate) * up, layer.mlp_out)

    def padded(self, prefixes: Sequence[Span | None]) -> tuple[Tensor, Tensor]:
        """Keys and values of prefixes side by side, right-padded, and their lengths.

        (layers, 2, rows, heads, tokens, head width) and (rows,).
        """
        lengths = torch.tensor([0 if span is None else span.end for span in prefixes])
        heads = self.sizes.num_attention_heads
        width = self.embedding.shape[1] // heads
        shape = (len(self.layers), 2, len(prefixes), heads, int(lengths.max()), width)
        side_by_side = torch.zeros(shape, dtype=self.dtype)
        for row, span in enumerate(prefixes):
            for piece in [] if span is None else span.chain():
                start = piece.end - piece.values.shape[-2]
                side_by_side[:, :, row, :, start : piece.end] = piece.values
        return side_by_side, lengths

    def prefill(self, prompts: Sequence[Sequence[Sequence[int]]]) -> list[Span]:
        """The span of every prompt (a list of pieces); pieces that the cache knows are not computed again."""
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
        spans: dict[int, Span] = {}
        for batch in self.batches([0 if span is None else span.end for span, _ in pieces]):
            parents, ids = [pieces[i][0] for i in batch], [pieces[i][1] for i in batch]
            values = self._forward(parents, ids).values
            for row, number in enumerate(batch):
                start = 0 if parents[row] is None else parents[row].end  # type: ignore[union-attr]
                own = values[:, :, row, :, : len(ids[row])].clone()
                spans[number] = Span(parents[row], own, start + len(ids[row]))
        return [spans[number] for number in range(len(pieces))]

    def last_hidden(self, prefixes: Sequence[Span], ids: Sequence[Sequence[int]], count: int) -> Tensor:
        """Hidden states of the last `count` tokens of each row: (rows, count, width). Nothing is cached."""
        hidden = torch.empty((len(ids), count, self.embedding.shape[1]), dtype=self.dtype)
        for batch in self.batches([span.end for span in prefixes]):
            states = self._forward([prefixes[i] for i in batch], [ids[i] for i in batch]).hidden
            for row, number in enumerate(batch):
                hidden[number] = states[row, len(ids[number]) - count : len(ids[number])]
        return hidden

    def batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Row numbers in batches of like prefix lengths, bounded in padded prefix tokens."""
        batch: list[int] = []
        for number in sorted(range(len(lengths)), key=lambda n: lengths[n]):
            if batch and (len(batch) + 1) * (lengths[number] + 64) > _MAX_PREFIX_TOKENS:
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _forward(self, parents: Sequence[Span | None], ids: Sequence[Sequence[int]]) -> _Forward:
        """New tokens behind prefixes, right-padded: hidden states and the new keys and values."""
        with self.timed():
            prefix, lengths = self.padded(parents)
            span, longest = prefix.shape[-2], max(len(row) for row in ids)
            tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids])
            steps = torch.arange(longest)
            rotation = self.rotation(lengths[:, None] + steps)
            hides = (torch.arange(span)[None] >= lengths[:, None])[:, None].expand(-1, longest, -1)
            later = (steps[None] > steps[:, None]).expand(len(ids), -1, -1)
            blocked = torch.cat([hides, later], -1)[:, None]
            mask = torch.zeros(blocked.shape, dtype=self.dtype).masked_fill_(blocked, float("-inf"))
            fresh: list[Tensor] = []

            def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
                new = torch.stack([rotation(k), v]).transpose(2, 3)
                at = len(fresh)
                fresh.append(new)
                keys, values = torch.cat([prefix[at], new], -2)
                mixed = functional.scaled_dot_product_attention(
                    rotation(q).transpose(1, 2), keys, values, attn_mask=mask
                )
                return mixed.transpose(1, 2).flatten(-2)

            x = self.embedding[tokens]
            for layer in self.layers:
                x = self.layer(layer, x, attend)
            self.counters.prefilled_tokens += sum(len(row) for row in ids)
            return _Forward(self.normed(x, self.norm), torch.stack(fresh))


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
