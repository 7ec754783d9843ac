"""BAGEL's image reader: a SigLIP encoder over patches of any grid, and positions on a fixed grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import SiglipVisionConfig
from transformers.activations import ACT2FN
from transformers.models.siglip.modeling_siglip import SiglipEncoder

__all__ = ["Connector", "GridPositions", "PatchEncoder", "cells_of", "patches", "pixels_of"]


class PatchEncoder(nn.Module):
    """SigLIP without its last layer, with a linear patch embedding and learned positions.

    Tensor names are those of the released file: `vision_model.embeddings...`, `vision_model.encoder...`.
    """

    def __init__(self, config: SiglipVisionConfig, patch_values: int, num_positions: int) -> None:
        super().__init__()
        self.vision_model = _VisionModel(config, patch_values, num_positions)

    def forward(self, inputs: Tensor, cells: Tensor) -> Tensor:
        """The features (patches, width) of one image's patches (patches, values) at the grid cells
        `cells`.
        """
        model = self.vision_model
        embedded = model.embeddings.patch_embedding(inputs) + model.embeddings.position_embedding(cells)
        encoded = model.encoder(inputs_embeds=embedded[None]).last_hidden_state
        normed: Tensor = model.post_layernorm(encoded)[0]
        return normed


class _VisionModel(nn.Module):
    def __init__(self, config: SiglipVisionConfig, patch_values: int, num_positions: int) -> None:
        super().__init__()
        config._attn_implementation = "sdpa"
        self.embeddings = _Embeddings(config.hidden_size, patch_values, num_positions)
        self.encoder = SiglipEncoder(config)  # type: ignore[arg-type]  # it takes a vision config too
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class _Embeddings(nn.Module):
    def __init__(self, width: int, patch_values: int, num_positions: int) -> None:
        super().__init__()
        self.patch_embedding = nn.Linear(patch_values, width)
        self.position_embedding = nn.Embedding(num_positions, width)


class Connector(nn.Module):
    """An MLP of two linear maps from the encoder's width to the decoder's."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inner, outer), nn.Linear(outer, outer)
        self.activation = ACT2FN["gelu_pytorch_tanh"]

    def forward(self, features: Tensor) -> Tensor:
        connected: Tensor = self.fc2(self.activation(self.fc1(features)))
        return connected


class GridPositions(nn.Module):
    """Fixed sine and cosine features of the cells of a square grid, (cells, width)."""

    pos_embed: Tensor

    def __init__(self, side: int, width: int, *, is_stored: bool) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("pos_embed", grid_features(side, width), persistent=is_stored)

    def reset(self) -> None:
        """Recompute the features, keeping their dtype and device."""
        self.pos_embed.copy_(grid_features(self.side, self.pos_embed.shape[1]))

    def forward(self, cells: Tensor) -> Tensor:
        return self.pos_embed[cells]


def grid_features(side: int, width: int) -> Tensor:
    """The features (side * side, width): the first half encodes the column, the second the row."""
    along = torch.arange(side, dtype=torch.float64)
    rows, columns = torch.meshgrid(along, along, indexing="ij")
    return torch.cat([_waves(columns.flatten(), width // 2), _waves(rows.flatten(), width // 2)], 1).float()


def _waves(places: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of places at `width / 2` frequencies from 1 down towards 1/10000."""
    powers = torch.arange(width // 2, dtype=torch.float64) / (width / 2)
    angles = places[:, None] * (1.0 / 10000**powers)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def cells_of(height: int, width: int, side: int) -> Tensor:
    """The cell numbers of an image of height x width cells, on a grid with rows of `side` cells."""
    return (torch.arange(height)[:, None] * side + torch.arange(width)).flatten()


def patches(pixels: Tensor, size: int) -> Tensor:
    """The patches of an image: (channels, height, width) to (patches, size * size * channels), channels
    fastest.
    """
    channels, height, width = pixels.shape
    split = pixels.reshape(channels, height // size, size, width // size, size)
    return split.permute(1, 3, 2, 4, 0).reshape(-1, size * size * channels)


def pixels_of(tokens: Tensor, size: int, height: int, width: int) -> Tensor:
    """The inverse of `patches` for an image of height x width patches."""
    split = tokens.reshape(height, width, size, size, -1)
    return split.permute(4, 0, 2, 1, 3).reshape(-1, height * size, width * size)
