"""The pocket language model for training: a Llama whose image embeddings are sums of a code and a cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from imug_tts.backbones.pocket.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of the transformer; names as in transformers' LlamaConfig."""

    hidden_size: int = 128
    num_hidden_layers: int = 5
    num_attention_heads: int = 4
    intermediate_size: int = 352
    rope_theta: float = 1000.0
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 1024


class TokenTable(nn.Module):
    """One vector per token. The vector of an image token is the sum of a code vector and a cell vector.

    The vector of a word that names a cell, or names what a code shows, contains that cell's or code's vector.
    So a name and its picture have similar vectors at the start of training.
    """

    def __init__(self, vocabulary: Vocabulary, shown: Mapping[str, int], width: int, scale: float) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.randn(vocabulary.num_words, width) * scale)
        self.codes = nn.Parameter(torch.randn(vocabulary.num_codes, width) * scale)
        self.cells = nn.Parameter(torch.randn(vocabulary.num_cells, width) * scale)
        self.named_codes = [(vocabulary.id_of[word], code) for word, code in shown.items()]
        self.named_cells = [(vocabulary.id_of[word], cell) for cell, word in enumerate(vocabulary.cells)]

    def flat(self) -> Tensor:
        """Return the whole table, (vocabulary, width)."""
        words: Tensor = self.words
        for named, table in ((self.named_codes, self.codes), (self.named_cells, self.cells)):
            ids, sources = torch.tensor(named).unbind(1)
            words = words.index_add(0, ids, table.index_select(0, sources))
        images = (self.cells[:, None] + self.codes[None]).flatten(0, 1)
        return torch.cat([words, images])

    @torch.no_grad()
    def set_flat(self, table: Tensor) -> None:
        """Set the parameters from a whole table (vocabulary, width) that `flat` returned.

        The table holds only sums of a cell vector and a code vector. They are split so that the cell vectors
        have mean 0.

        Raises:
            ValueError: the image tokens of the table are not sums of a cell vector and a code vector.
        """
        images = table[len(self.words) :].view(len(self.cells), len(self.codes), -1)
        self.codes.copy_(images.mean(0))
        self.cells.copy_(images.mean(1) - images.mean((0, 1)))
        self.words.zero_()
        self.words.copy_(table[: len(self.words)] - self.flat()[: len(self.words)])
        if not torch.allclose(self.flat(), table, atol=1e-4):
            raise ValueError(
                "its image tokens are no sums of a cell and a code, so this trainer did not make it"
            )


class Layer(nn.Module):
    """One Llama layer: attention matrices in the order query, key, value, output; MLP inputs gate, up."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, inner = shape.hidden_size, shape.intermediate_size
        self.heads, self.eps = shape.num_attention_heads, shape.rms_norm_eps
        self.attention_norm = nn.Parameter(torch.ones(width))
        self.mlp_norm = nn.Parameter(torch.ones(width))
        self.attention = nn.ParameterList(torch.randn(width, width) / width**0.5 for _ in "qkvo")
        self.mlp_in = nn.ParameterList(torch.randn(inner, width) / width**0.5 for _ in ("gate", "up"))
        self.mlp_out = nn.Parameter(torch.randn(width, inner) / inner**0.5)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """Return the layer's output, (rows, tokens, width).

        Args:
            x: (rows, tokens, width).
            rotation: cosines and sines of the positions, from `PocketModel.rotation`.
            mask: (rows, 1, tokens, tokens), added to the attention scores.
        """
        rows, tokens, width = x.shape
        h = functional.rms_norm(x, (width,), self.attention_norm, self.eps)
        query, key, value, output = self.attention
        qkv = functional.linear(h, torch.cat([query, key, value])).view(rows, tokens, 3, self.heads, -1)
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        mixed = functional.scaled_dot_product_attention(
            rotate(q, rotation), rotate(k, rotation), v, attn_mask=mask
        )
        x = x + functional.linear(mixed.transpose(1, 2).reshape(rows, tokens, width), output)
        h = functional.rms_norm(x, (width,), self.mlp_norm, self.eps)
        gate, up = functional.linear(h, torch.cat(list(self.mlp_in))).chunk(2, -1)
        return x + functional.linear(functional.silu(gate) * up, self.mlp_out)


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Apply rotary position embeddings, in the half-split convention of transformers' Llama."""
    cos, sin = rotation
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


class PocketModel(nn.Module):
    """The language model: maps rows of tokens to logits at chosen places."""

    def __init__(self, vocabulary: Vocabulary, shown: Mapping[str, int], shape: Shape) -> None:
        """
        Args:
            shown: the image code of the cell state that each word names.
        """
        super().__init__()
        self.shape = shape
        self.embedding = TokenTable(vocabulary, shown, shape.hidden_size, 0.5)
        self.head = TokenTable(vocabulary, shown, shape.hidden_size, 0.02)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden_size))

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of the rotary angles, each (rows, 1, tokens, head width)."""
        width = self.shape.hidden_size // self.shape.num_attention_heads
        rates = self.shape.rope_theta ** -(torch.arange(0, width, 2, dtype=torch.float32) / width)
        angles = positions[:, None, :, None].float() * torch.cat([rates, rates])
        return angles.cos(), angles.sin()

    def hidden(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Return the normalised hidden states of the last layer, (rows, tokens, width)."""
        x = self.embedding.flat().index_select(0, ids.flatten()).view(*ids.shape, -1)
        rotation = self.rotation(positions)
        for layer in self.layers:
            x = layer(x, rotation, mask)
        return functional.rms_norm(x, (x.shape[-1],), self.norm, self.shape.rms_norm_eps)

    def forward(self, ids: Tensor, positions: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """Return the logits at `places`, (places, vocabulary). Places are indices into rows x tokens."""
        chosen = self.hidden(ids, positions, mask).flatten(0, 1).index_select(0, places)
        return chosen @ self.head.flat().T

    def to_llama(self) -> dict[str, Tensor]:
        """Return a copy of the weights under the names of transformers' LlamaForCausalLM."""
        tables = {f"{name}.weight": table.flat() for name, table in self._tables()}
        named = {**tables, **self._matrices()}
        return {name: tensor.detach().clone().contiguous() for name, tensor in named.items()}

    @torch.no_grad()
    def from_llama(self, weights: Mapping[str, Tensor]) -> None:
        """Set the parameters from weights that `to_llama` returned.

        Raises:
            ValueError: names or shapes differ, or image embeddings are not sums of a cell and a code vector.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in self.to_llama().items()}
        if shapes != {name: tuple(tensor.shape) for name, tensor in weights.items()}:
            raise ValueError("its weights have other names or shapes than the pocket model's")
        for name, matrix in self._matrices().items():
            matrix.copy_(weights[name])
        for name, table in self._tables():
            table.set_flat(weights[f"{name}.weight"])

    def _tables(self) -> Iterator[tuple[str, TokenTable]]:
        yield "model.embed_tokens", self.embedding
        yield "lm_head", self.head

    def _matrices(self) -> dict[str, Tensor]:
        """Return all parameters except the token tables, by their Llama names."""
        named: dict[str, Tensor] = {"model.norm.weight": self.norm}
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            at = f"model.layers.{number}."
            for name, matrix in zip("qkvo", layer.attention, strict=True):
                named[f"{at}self_attn.{name}_proj.weight"] = matrix
            named[f"{at}mlp.gate_proj.weight"], named[f"{at}mlp.up_proj.weight"] = layer.mlp_in
            named[f"{at}mlp.down_proj.weight"] = layer.mlp_out
            named[f"{at}input_layernorm.weight"] = layer.attention_norm
            named[f"{at}post_attention_layernorm.weight"] = layer.mlp_norm
        return named


def tree_mask(segments: Tensor, ancestors: Tensor) -> Tensor:
    """Return the additive attention mask, (rows, 1, tokens, tokens).

    A token attends to itself and to earlier tokens of its own segment and of the segment's ancestors.
    """
    rows, tokens = segments.shape
    chosen = ancestors.gather(1, segments[:, :, None].expand(-1, -1, ancestors.shape[2]))
    related = chosen.gather(2, segments[:, None, :].expand(-1, tokens, -1))
    visible = related & torch.ones(tokens, tokens, dtype=torch.bool).tril()
    return torch.zeros(rows, 1, tokens, tokens).masked_fill_(~visible[:, None], float("-inf"))
