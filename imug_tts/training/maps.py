"""Attention maps and hidden states of chosen layers, without keeping the weights of every head.

Flash and sdpa attention never compute a map; eager attention keeps one for every head of every layer. Here
all layers run sdpa. The layers whose maps are imitated also compute the mean of the weights over heads, of
only the rows that are imitated. If the whole map of a teacher is wanted, its output is computed from the same
weights instead.

The attention is registered in the `AttentionInterface` of transformers under the name `MAPS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from imug_tts.training.attention import Rows, attend, mean_map
from imug_tts.training.method import Key, Part

__all__ = ["MAPS", "Recorder"]

MAPS: Final = "imug_tts_maps"
"""The name of this attention in transformers."""


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

    @cached_property
    def text(self) -> Rows:
        """The rows of a map that belong to text."""
        return Rows.of((~self.is_image).nonzero()[:, 0])

    @cached_property
    def image(self) -> Tensor:
        """The columns of a map that belong to images."""
        return self.is_image.nonzero()[:, 0]

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
    query, key, value = (_as_computed(one) for one in (query, key, value))
    whole: Tensor | None = None
    if "full" in tap.parts and not torch.is_grad_enabled():
        output, whole = attend(query, key, value, attention_mask, scaling)
    else:  # with sdpa, the backward pass of a loss that imitates nothing of this layer needs no map
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **others
        )
    if "full" in tap.parts:
        full = mean_map(query, key, attention_mask, scaling) if whole is None else whole
        run.keep(("full", tap.place), full)
    if "text_to_vision" in tap.parts:
        own = (query, key, attention_mask, scaling, run.text)
        rows = mean_map(*own) if whole is None else whole[:, run.text.places]
        run.keep(("text_to_vision", tap.place), rows[:, :, run.image])
    return output, None


def _as_computed(tensor: Tensor) -> Tensor:
    """Return the tensor in the type in which autocast computes products."""
    device = tensor.device.type
    return tensor.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else tensor


AttentionInterface.register(MAPS, _attention)
AttentionMaskInterface.register(MAPS, sdpa_mask)
