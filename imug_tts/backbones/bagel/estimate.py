"""How much memory BAGEL takes, from its files alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from imug_tts.backbones.bagel.folder import AUTOENCODER, WEIGHTS, llm_config
from imug_tts.backbones.native.checkpoint import ITEM_BYTES, TensorHeader, tensor_headers, weight_bytes
from imug_tts.contracts import ConfigurationError, MemoryNeed

__all__ = ["estimate"]

_TEXT_TOKENS: Final = 400
"""Texts of a turn: question, answer and marks, with room."""
_LIVE_TENSORS: Final = 8
"""Tensors of a layer that are alive at once beside the feed-forward's."""
_LIVE_MAPS: Final = 6
"""Feature maps of full size that the autoencoder keeps at once while it decodes."""


def estimate(folder: Path, dtype: str) -> MemoryNeed:
    """Bytes for weights, for a turn with one image that is drawn and later read, and for a candidate.

    Raises:
        ConfigurationError: the files are missing or not of this model.
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
        per_turn=token * (latent + 2 * seen + _TEXT_TOKENS),  # an image to go on from, and one to read
        per_candidate=latent * (_LIVE_TENSORS * width + 3 * inner) * item,
    )


def _count(headers: Mapping[str, TensorHeader], name: str, otherwise: int) -> int:
    """Rows of a tensor that a file may lack."""
    return headers[name].shape[0] if name in headers else otherwise
