"""Attention maps and hidden states of chosen layers, without keeping the weights of every head.

Flash and sdpa attention never compute a map; eager attention keeps one for every head of every layer. In the
attention of this module, the layers whose maps are imitated compute the weights for one group of heads at a
time, keep only the mean over heads, and compute the weights again in the backward pass. Other layers run
sdpa.

The attention is registered in the `AttentionInterface` of transformers under the name `MAPS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

__all__ = ["MAPS", "Key", "Part", "Recorder"]

MAPS: Final = "imug_tts_maps"
"""The name of this attention in transformers."""
Part = Literal["text_to_vision", "full", "hidden"]
"""What is recorded of a layer: the block of its map where text attends to images, the map, or the output."""
Key = tuple[Part, int]
"""What is recorded, and the index of its layer, from 0."""


class Recorder:
    """Records attention maps and hidden states of chosen decoder layers of one model, inside `recording`."""

    def __init__(self, layers: nn.ModuleList, wanted: frozenset[Key]) -> None:
        """
        Args:
            layers: the decoder layers of a language model of transformers, each with `self_attn`.
            wanted: what to record.

        Raises:
            ValueError: `wanted` names a layer that does not exist.
        """
        self.wanted = wanted
        self._run: _Run | None = None
        for part, place in sorted(wanted):
            if not 0 <= place < len(layers):
                raise ValueError(f"there is no layer {place}; the model has {len(layers)}")
            if part == "hidden":
                layers[place].register_forward_hook(self._hook(place))
        for place, layer in enumerate(layers):
            parts = frozenset(part for part, own in wanted if own == place and part != "hidden")
            if parts:
                attention: Any = layer.self_attn
                _TAPS[attention] = _Tap(self, place, parts)

    @contextmanager
    def recording(self, is_image: Tensor) -> Iterator[Mapping[Key, Tensor]]:
        """Record the forward pass that runs inside the `with` block. Run the backward pass inside it too.

        Args:
            is_image: (tokens), true where a token belongs to an image. The batch is one sample.

        Yields:
            The tensors recorded so far. "full" is (1, tokens, tokens), and "text_to_vision" is (1, text
            tokens, image tokens), both float32 or wider and averaged over heads. "hidden" is (1, tokens,
            width).
        """
        self._run = _Run(is_image)
        try:
            yield self._run.kept
        finally:
            self._run = None

    @property
    def run(self) -> _Run | None:
        """The forward pass that is being recorded; None outside `recording`."""
        return self._run

    def _hook(self, place: int) -> Any:
        def keep(_: nn.Module, __: Any, output: Any) -> None:
            if self._run is not None:
                hidden = output[0] if isinstance(output, tuple) else output
                self._run.keep(("hidden", place), hidden)

        return keep


@dataclass
class _Run:
    is_image: Tensor
    kept: dict[Key, Tensor] = field(default_factory=dict)

    def keep(self, key: Key, value: Tensor) -> None:
        """Keep the first value of a key. Gradient checkpointing computes it again in the backward pass."""
        self.kept.setdefault(key, value)


@dataclass(frozen=True)
class _Tap:
    """The parts of a layer's map that a recorder records."""

    recorder: Recorder
    place: int
    parts: frozenset[Part]


_TAPS: WeakKeyDictionary[nn.Module, _Tap] = WeakKeyDictionary()
"""Taps by attention module. A context variable does not work: on a GPU, the backward pass runs in another
thread.
"""


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention function with the signature of transformers; records the map of a layer that has a tap.

    Args:
        query: (batch, heads, tokens, width).

    Returns:
        The output, (batch, tokens, heads, width), and None in place of the weights.
    """
    tap = _TAPS.get(module)
    run = None if tap is None else tap.recorder.run
    if tap is None or run is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    if dropout:
        raise ValueError("maps are not recorded under dropout; set attention_dropout of the model to 0")
    allowed = _allowed(attention_mask, query)
    text, image = (~run.is_image).nonzero()[:, 0], run.is_image.nonzero()[:, 0]
    mean: Tensor | None = None
    if "full" in tap.parts and not torch.is_grad_enabled():
        output, mean = _attend(query, key, value, allowed, scaling)
        output = output.transpose(1, 2)
    else:  # compute the output with sdpa, so that the backward pass of other losses needs no map
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **others
        )
        if "full" in tap.parts:
            mean = _mean(query, key, allowed, scaling)
    if mean is not None:
        run.keep(("full", tap.place), mean)
    if "text_to_vision" in tap.parts:
        own = query[:, :, text], key, allowed[..., text, :], scaling
        rows = _mean(*own) if mean is None else mean[:, text]
        run.keep(("text_to_vision", tap.place), rows[:, :, image])
    return output, None


def _allowed(mask: Tensor | None, query: Tensor) -> Tensor:
    """Return where a token may attend, (..., tokens, tokens). Without a mask, attention is causal."""
    if mask is not None:
        return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    tokens = query.shape[2]
    return torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).tril()


def _attend(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    """Return the output of all heads, and the mean of their weights, (batch, queries, keys)."""
    outputs, total = [], None
    for own, keys, values in zip(_groups(query, key), _single(key), _single(value), strict=True):
        weights = _weights(own, keys, allowed, scaling)
        outputs.append(weights.to(value.dtype) @ values)
        total = weights.sum(dim=1) if total is None else total.add_(weights.sum(dim=1))
    assert total is not None
    return torch.cat(outputs, dim=1), total / query.shape[1]


def _mean(query: Tensor, key: Tensor, allowed: Tensor, scaling: float) -> Tensor:
    """Return the attention weights averaged over heads, (batch, queries, keys)."""
    parts = [
        _again(_summed, own, keys, allowed, scaling)
        for own, keys in zip(_groups(query, key), _single(key), strict=True)
    ]
    return torch.stack(parts).sum(dim=0) / query.shape[1]


def _summed(query: Tensor, key: Tensor, allowed: Tensor, scaling: float) -> Tensor:
    return _weights(query, key, allowed, scaling).sum(dim=1)


def _weights(query: Tensor, key: Tensor, allowed: Tensor, scaling: float) -> Tensor:
    """Return the softmax weights of query heads that share one key head, in float32 or wider."""
    scores = (query @ key.transpose(-1, -2)) * scaling
    scores = scores.masked_fill(~allowed, -torch.inf)
    return scores.softmax(dim=-1, dtype=torch.promote_types(query.dtype, torch.float32))


def _groups(query: Tensor, key: Tensor) -> Sequence[Tensor]:
    """Split the query heads into groups that share one key head."""
    return torch.split(query, query.shape[1] // key.shape[1], dim=1)


def _single(heads: Tensor) -> Sequence[Tensor]:
    """Split heads into tensors of one head each."""
    return torch.split(heads, 1, dim=1)


def _again(compute: Any, *given: Any) -> Any:
    """Return compute(*given), with gradient checkpointing, so that the weights are not kept for the backward
    pass.
    """
    if not torch.is_grad_enabled():
        return compute(*given)
    return checkpoint(compute, *given, use_reentrant=False, preserve_rng_state=False)


AttentionInterface.register(MAPS, _attention)
AttentionMaskInterface.register(MAPS, sdpa_mask)
