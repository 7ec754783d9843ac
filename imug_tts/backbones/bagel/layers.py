"""The decoder of BAGEL: a mixture of two transformers with one joint attention.

Every layer has two sets of weights ("experts"). The understanding experts process text, ViT tokens and the
two tokens at the ends of an image block. The generation experts (`*_moe_gen`) process the latents between
them. The architecture follows BAGEL (arXiv 2505.14683); the modules are those of Qwen2 in transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import (
    Qwen2MLP,
    Qwen2RMSNorm,
    Qwen2RotaryEmbedding,
    apply_rotary_pos_emb,
)

__all__ = ["Decoder", "KeysValues", "attend"]

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of some tokens in one layer, each of shape (key heads, tokens, head width)."""


class Decoder(nn.Module):
    """Layers and final norms. Maps embeddings to hidden states, and returns the new keys and values."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = _norm(config.hidden_size, config)
        self.norm_moe_gen = _norm(config.hidden_size, config)
        self.rotary_emb = Qwen2RotaryEmbedding(config)

    def forward(
        self,
        inputs: Tensor,
        positions: Tensor,
        past: Sequence[Sequence[KeysValues]],
        mask: Tensor | None,
        has_latents: bool,
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """One forward pass over new tokens.

        Args:
            inputs: embeddings, (rows, new tokens, width).
            positions: the rotary position of each new token, (new tokens,).
            past: per layer, the keys and values of earlier tokens, shared by all rows.
            mask: True if a new token (first axis) attends to a token (second axis, earlier ones first); None:
                every new token attends to all tokens.
            has_latents: whether the tokens between the first and the last are latents.

        Returns:
            Hidden states (rows, new tokens, width), and per layer the new keys and values, each (rows, key
            heads, new tokens, head width).
        """
        angles = self.rotary_emb(inputs, positions[None].to(inputs.device))
        made = []
        for layer, earlier in zip(self.layers, past, strict=True):
            inputs, keys, values = layer(inputs, *angles, list(earlier), mask, has_latents)
            made.append((keys, values))
        return _by_expert(inputs, self.norm, self.norm_moe_gen, has_latents), made


class Layer(nn.Module):
    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Qwen2MLP(config)  # type: ignore[no-untyped-call]
        self.mlp_moe_gen = Qwen2MLP(config)  # type: ignore[no-untyped-call]
        self.input_layernorm = _norm(config.hidden_size, config)
        self.input_layernorm_moe_gen = _norm(config.hidden_size, config)
        self.post_attention_layernorm = _norm(config.hidden_size, config)
        self.post_attention_layernorm_moe_gen = _norm(config.hidden_size, config)

    def forward(
        self,
        inputs: Tensor,
        cos: Tensor,
        sin: Tensor,
        past: list[KeysValues],
        mask: Tensor | None,
        has_latents: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        normed = _by_expert(inputs, self.input_layernorm, self.input_layernorm_moe_gen, has_latents)
        attended, keys, values = self.self_attn(normed, cos, sin, past, mask, has_latents)
        inputs = inputs + attended
        normed = _by_expert(
            inputs, self.post_attention_layernorm, self.post_attention_layernorm_moe_gen, has_latents
        )
        return inputs + _by_expert(normed, self.mlp, self.mlp_moe_gen, has_latents), keys, values


class Attention(nn.Module):
    """Projections and norms of both experts around one attention over all tokens."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.width = config.hidden_size // config.num_attention_heads
        inner = config.hidden_size
        shared = self.width * (config.num_key_value_heads or config.num_attention_heads)
        for expert in ("", "_moe_gen"):
            setattr(self, f"q_proj{expert}", nn.Linear(inner, inner))
            setattr(self, f"k_proj{expert}", nn.Linear(inner, shared))
            setattr(self, f"v_proj{expert}", nn.Linear(inner, shared))
            setattr(self, f"o_proj{expert}", nn.Linear(inner, inner, bias=False))
            setattr(self, f"q_norm{expert}", _norm(self.width, config))
            setattr(self, f"k_norm{expert}", _norm(self.width, config))

    def forward(
        self,
        inputs: Tensor,
        cos: Tensor,
        sin: Tensor,
        past: list[KeysValues],
        mask: Tensor | None,
        has_latents: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        queries = self._normed(inputs, "q", has_latents)
        keys = self._normed(inputs, "k", has_latents)
        values = self._project(inputs, "v", has_latents)
        values = values.view(*inputs.shape[:2], -1, self.width).transpose(1, 2)
        queries, keys = apply_rotary_pos_emb(queries, keys, cos, sin)
        queries, keys = queries.to(values.dtype), keys.to(values.dtype)
        all_keys = _after([earlier for earlier, _ in past], keys)
        all_values = _after([earlier for _, earlier in past], values)
        attended = attend(queries, all_keys, all_values, mask)
        merged = attended.transpose(1, 2).flatten(2)
        return self._project(merged, "o", has_latents), keys, values

    def _project(self, inputs: Tensor, which: str, has_latents: bool) -> Tensor:
        understanding, generation = getattr(self, f"{which}_proj"), getattr(self, f"{which}_proj_moe_gen")
        return _by_expert(inputs, understanding, generation, has_latents)

    def _normed(self, inputs: Tensor, which: str, has_latents: bool) -> Tensor:
        """Normed queries or keys, (rows, heads, tokens, head width)."""
        projected = self._project(inputs, which, has_latents)
        projected = projected.view(*inputs.shape[:2], -1, self.width)
        if has_latents and projected.dtype == torch.bfloat16:
            projected = (
                projected.float()
            )  # as in the released code, which norms in bfloat16 only if there are no latents
        understanding, generation = getattr(self, f"{which}_norm"), getattr(self, f"{which}_norm_moe_gen")
        return _by_expert(projected, understanding, generation, has_latents).transpose(1, 2)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Attention in which several query heads share a key head, (rows, query heads, tokens, head width).

    The query heads of one key head are folded into the token axis, so that keys are not repeated.
    """
    rows, heads, tokens, width = queries.shape
    shared = heads // keys.shape[1]
    folded = queries.reshape(rows, keys.shape[1], shared * tokens, width)
    if mask is not None:
        mask = mask.to(queries.device).repeat(shared, 1)
    return scaled_dot_product_attention(folded, keys, values, attn_mask=mask).reshape(queries.shape)


def _after(past: list[Tensor], new: Tensor) -> Tensor:
    """Keys (or values): the shared ones of earlier tokens, then each row's own."""
    return torch.cat([*(earlier.expand(len(new), *earlier.shape) for earlier in past), new], dim=2)


def _by_expert(
    inputs: Tensor,
    understanding: Callable[[Tensor], Tensor],
    generation: Callable[[Tensor], Tensor],
    has_latents: bool,
) -> Tensor:
    """The tokens (second axis) processed by their experts."""
    if not has_latents:
        return understanding(inputs)
    ends = understanding(torch.stack([inputs[:, 0], inputs[:, -1]], dim=1))
    return torch.cat([ends[:, :1], generation(inputs[:, 1:-1]), ends[:, 1:]], dim=1)


def _norm(width: int, config: Qwen2Config) -> Qwen2RMSNorm:
    return Qwen2RMSNorm(width, eps=config.rms_norm_eps)
