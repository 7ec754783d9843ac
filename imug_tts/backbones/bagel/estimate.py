"""Estimates BAGEL's memory need from its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from imug_tts.backbones.bagel.folder import AUTOENCODER, WEIGHTS, llm_config
from imug_tts.backbones.native.checkpoint import ITEM_BYTES, TensorHeader, tensor_headers, weight_bytes
from imug_tts.contracts import ConfigurationError, MemoryNeed

__all__ = ["estimate"]

_TEXT_TOKENS: Final = 400
"""Tokens of the texts of a turn: question, answer and marks; a generous estimate."""
_LIVE_TENSORS: Final = 8
"""Tensors of a layer that are in memory at once, in addition to those of the feed-forward network."""
_LIVE_MAPS: Final = 6
"""Full-size feature maps that the autoencoder holds at once while decoding."""


def estimate(folder: Path, dtype: str) -> MemoryNeed:
    """The memory need: weights, a turn whose image is drawn and later read, and a candidate.

    Raises:
        ConfigurationError: the files are missing or of another model.
    """
    config = llm_config(folder)
    headers = tensor_headers([folder / WEIGHTS])
    coder = tensor_headers([folder / AUTOENCODER])
    try:
        item = ITEM_BYTES.get(dtype) or headers["vae2llm.weight"].nbytes // headers["vae2llm.weight"].count
        latent = _count(headers, "latent_pos_embed.pos_embed", 64**2) + 2
        seen = _count(headers, "vit_pos_embed.pos_embed", 70**2) + 2
        channels = coder["decoder.norm_out.weight"].shape[0]
        halvings = sum(name.endswith("downsample.conv.weight") for name in coder)
        width, inner = config["hidden_size"], config["intermediate_size"]
        head = width // config["num_attention_heads"]
        token = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head * item
    except KeyError as error:
        raise ConfigurationError(
            f"the files of {folder} have no {error.args[0]}; they must be those of BAGEL-7B-MoT"
        ) from error
    pixels = (latent - 2) * 4 * 4**halvings
    weights = weight_bytes([folder / WEIGHTS], dtype) + weight_bytes([folder / AUTOENCODER], "float32")
    return MemoryNeed(
        weights=weights + _LIVE_MAPS * pixels * channels * 4,
        per_turn=token
        * (
            latent + 2 * seen + _TEXT_TOKENS
        ),  # an image for drawing (latents and ViT), and one for reading (ViT)
        per_candidate=latent * (_LIVE_TENSORS * width + 3 * inner) * item,
    )


def _count(headers: Mapping[str, TensorHeader], name: str, otherwise: int) -> int:
    """The number of rows of a tensor; `otherwise` if the file lacks the tensor."""
    return headers[name].shape[0] if name in headers else otherwise
