"""BAGEL as one module: it adds texts and images to contexts, and predicts from them.

Module names are those of the released `ema.safetensors`. The autoencoder is separate (see `latents`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import Qwen2Config, SiglipVisionConfig
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from imug_tts.backbones.bagel.context import Context
from imug_tts.backbones.bagel.latents import TimeEmbedding
from imug_tts.backbones.bagel.layers import Decoder
from imug_tts.backbones.bagel.vision import Connector, GridPositions, PatchEncoder, cells_of, patches

__all__ = ["Bagel", "Rows", "Shape", "Specials"]

LATENT_PATCH = 2
"""Side of the square of latent places that form one token."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of the model, from its configuration files and its tensor shapes."""

    llm: Qwen2Config
    vit: SiglipVisionConfig
    patch_size: int
    """The edge of a ViT patch in pixels."""
    latent_channels: int
    latent_side: int
    """The side of the grid of latent tokens in cells: that of the largest image."""
    vit_side: int
    """The side of the grid of ViT patches in cells."""
    vit_positions: int
    time_frequencies: int
    stores_grids: bool
    """Whether the weights contain the fixed position features of both grids, which can also be computed."""


@dataclass(frozen=True, kw_only=True)
class Specials:
    """Ids of the tokens around a text and around an image block."""

    text_start: int
    text_end: int
    image_start: int
    image_end: int


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch of texts being generated after one context: the keys and values of their tokens so far."""

    context: Context
    layers: tuple[tuple[Tensor, Tensor], ...] = ()
    """Per layer (key heads, steps * rows, head width): first all rows' first tokens, then their second
    tokens, ...
    """
    steps: int = 0


class LanguageModel(nn.Module):
    """The decoder and its output head, which is never tied to the embeddings."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)


class Bagel(nn.Module):
    """The model with the released module names; all methods run without gradients."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, latent = shape.llm.hidden_size, shape.latent_channels * LATENT_PATCH**2
        self.language_model = LanguageModel(shape.llm)
        self.vit_model = PatchEncoder(shape.vit, 3 * shape.patch_size**2, shape.vit_positions)
        self.connector = Connector(shape.vit.hidden_size, width)
        self.vit_pos_embed = GridPositions(shape.vit_side, width, is_stored=shape.stores_grids)
        self.latent_pos_embed = GridPositions(shape.latent_side, width, is_stored=shape.stores_grids)
        self.time_embedder = TimeEmbedding(shape.time_frequencies, width)
        self.vae2llm, self.llm2vae = nn.Linear(latent, width), nn.Linear(width, latent)
        self.shape = shape
        self.home = torch.device("cpu")
        """The device of inputs and results; layers may be on other devices."""

    def reset_fixed(self) -> None:
        """Compute the buffers that no file contains. Rotary frequencies stay in float32 whatever the dtype of
        the weights.
        """
        self.vit_pos_embed.reset()
        self.latent_pos_embed.reset()
        self.decoder.rotary_emb = Qwen2RotaryEmbedding(self.shape.llm).to(self.home)

    @property
    def decoder(self) -> Decoder:
        return self.language_model.model

    @torch.inference_mode()
    def add_text(self, context: Context, ids: Sequence[int], key: str) -> Context:
        """The context extended by the tokens of a text; each attends to all tokens before it."""
        new = len(ids)
        shape = (new, context.tokens + new)
        mask = torch.ones(shape, dtype=torch.bool, device=self.home).tril(context.tokens)
        positions = context.position + torch.arange(new)
        return self._grown(context, key, self._embed(ids), positions, mask, has_latents=False)

    @torch.inference_mode()
    def add_seen(self, context: Context, pixels: Tensor, specials: Specials, key: str) -> Context:
        """The context extended by an image's ViT features; `pixels` (3, height, width) in -1 to 1."""
        height, width = (edge // self.shape.patch_size for edge in pixels.shape[1:])
        cells = cells_of(height, width, self.vit_pos_embed.side).to(self.home)
        given = patches(pixels, self.shape.patch_size).to(self.home, self.connector.fc1.weight.dtype)
        tokens = self.connector(self.vit_model(given, cells)) + self.vit_pos_embed(cells)
        return self._with_block(context, key, tokens, specials, has_latents=False)

    @torch.inference_mode()
    def add_latents(self, context: Context, latents: Tensor, specials: Specials, key: str) -> Context:
        """The context extended by a clean image: scaled latents (channels, height, width) at time 0."""
        height, width = (edge // LATENT_PATCH for edge in latents.shape[1:])
        tokens = self._latent_tokens(patches(latents, LATENT_PATCH).to(self.home), 0.0, height, width)
        return self._with_block(context, key, tokens, specials, has_latents=True)

    @torch.inference_mode()
    def velocity(
        self, context: Context, noisy: Tensor, time: float, cells: tuple[int, int], specials: Specials
    ) -> Tensor:
        """The velocity from data to noise, (rows, tokens, values) in float32 or wider, at the latents
        `noisy`.

                All rows follow the same context; `cells` are the height and width of the image in tokens.
        """
        inputs = self._block(self._latent_tokens(noisy, time, *cells), specials)
        positions = torch.full((inputs.shape[1],), context.position)
        hidden, _ = self.decoder(inputs, positions, self._past(context), None, True)
        predicted: Tensor = self.llm2vae(hidden[:, 1:-1])
        return predicted if predicted.dtype == torch.float64 else predicted.float()

    @torch.inference_mode()
    def next_logits(self, rows: Rows, tokens: Sequence[int]) -> tuple[Tensor, Rows]:
        """Append one token to each row; returns the logits (rows, vocabulary), float32 or wider, and the new
        rows.

                The rows are the tokens of one pass, each attending to the context and to its own row, so the
                    context is not
                repeated.
        """
        count, context = len(tokens), rows.context
        past = self._past(context)
        if rows.layers:
            past = [[*earlier, own] for earlier, own in zip(past, rows.layers, strict=True)]
        own = torch.eye(count, dtype=torch.bool, device=self.home).repeat(1, rows.steps + 1)
        mask = torch.cat([own.new_ones(count, context.tokens), own], dim=1)
        positions = torch.full((count,), context.position + rows.steps)
        hidden, made = self.decoder(self._embed(tokens)[None], positions, past, mask, False)
        logits: Tensor = self.language_model.lm_head(hidden[0])
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return logits, Rows(context, _joined(rows.layers, made), rows.steps + 1)

    def _past(self, context: Context) -> list[list[tuple[Tensor, Tensor]]]:
        return context.past(len(self.decoder.layers))

    def _embed(self, ids: Sequence[int]) -> Tensor:
        embedded: Tensor = self.decoder.embed_tokens(torch.tensor(list(ids), device=self.home))
        return embedded

    def _latent_tokens(self, latents: Tensor, time: float, height: int, width: int) -> Tensor:
        """Embeddings (..., tokens, width) of latents (..., tokens, values)."""
        cells = cells_of(height, width, self.latent_pos_embed.side).to(self.home)
        given = latents.to(self.home, self.vae2llm.weight.dtype)
        embedded: Tensor = self.vae2llm(given) + self.time_embedder(time) + self.latent_pos_embed(cells)
        return embedded

    def _block(self, tokens: Tensor, specials: Specials) -> Tensor:
        """Embeddings (rows, tokens + 2, width) of image tokens between the start and end tokens."""
        ends = self._embed([specials.image_start, specials.image_end]).expand(len(tokens), 2, -1)
        return torch.cat([ends[:, :1], tokens.to(ends.dtype), ends[:, 1:]], dim=1)

    def _with_block(
        self, context: Context, key: str, tokens: Tensor, specials: Specials, *, has_latents: bool
    ) -> Context:
        """The context extended by an image block, which attends to everything before it and to itself, and
        takes one position.
        """
        inputs = self._block(tokens[None], specials)[0]
        positions = torch.full((len(inputs),), context.position)
        return self._grown(context, key, inputs, positions, None, has_latents=has_latents)

    def _grown(
        self,
        context: Context,
        key: str,
        inputs: Tensor,
        positions: Tensor,
        mask: Tensor | None,
        *,
        has_latents: bool,
    ) -> Context:
        _, made = self.decoder(inputs[None], positions, self._past(context), mask, has_latents)
        return Context(
            parent=context,
            key=key,
            layers=tuple((keys[0], values[0]) for keys, values in made),
            tokens=context.tokens + len(inputs),
            position=int(positions[-1]) + 1,
        )


def _joined(
    before: Sequence[tuple[Tensor, Tensor]], made: Sequence[tuple[Tensor, Tensor]]
) -> tuple[tuple[Tensor, Tensor], ...]:
    if not before:
        return tuple((keys[0], values[0]) for keys, values in made)
    return tuple(
        (torch.cat([old_keys, keys[0]], dim=1), torch.cat([old_values, values[0]], dim=1))
        for (old_keys, old_values), (keys, values) in zip(before, made, strict=True)
    )
