"""BAGEL's autoencoder in its released layout, and the embedding of a time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

__all__ = [
    "TimeEmbedding",
    "autoencoder_arguments",
    "autoencoder_name",
    "autoencoder_shape",
    "decode",
    "encode",
]

SCALE: Final = 0.3611
SHIFT: Final = 0.1159
"""Scale and shift of the FLUX autoencoder's latents; only the released code states them."""
_GROUPS: Final = 32
"""Number of groups of every group norm of the autoencoder."""

_NAMES: Final = (
    (r"mid\.block_(\d)\.", lambda found: f"mid_block.resnets.{int(found[1]) - 1}."),
    (r"mid\.attn_1\.norm\.", "mid_block.attentions.0.group_norm."),
    (r"mid\.attn_1\.proj_out\.", "mid_block.attentions.0.to_out.0."),
    (r"mid\.attn_1\.([qkv])\.", r"mid_block.attentions.0.to_\1."),
    (r"down\.(\d+)\.block\.(\d+)\.", r"down_blocks.\1.resnets.\2."),
    (r"down\.(\d+)\.downsample\.", r"down_blocks.\1.downsamplers.0."),
    (r"up\.(\d+)\.block\.(\d+)\.", r"up_blocks.\1.resnets.\2."),
    (r"up\.(\d+)\.upsample\.", r"up_blocks.\1.upsamplers.0."),
    (r"nin_shortcut\.", "conv_shortcut."),
    (r"norm_out\.", "conv_norm_out."),
)


def autoencoder_name(name: str, num_levels: int) -> str:
    """The name in diffusers' AutoencoderKL of a tensor in `ae.safetensors`."""
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    # The released decoder counts its levels from the image, diffusers' from the latent.
    return re.sub(r"(?<=decoder\.up_blocks\.)\d+", lambda found: str(num_levels - 1 - int(found[0])), name)


def autoencoder_shape(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The arguments of AutoencoderKL, derived from the tensor shapes in `ae.safetensors`: no file states
    them.

    Raises:
        KeyError: a tensor is missing.
    """
    levels = range(_count(r"encoder\.down\.(\d+)\.", shapes))
    return autoencoder_arguments(
        tuple(shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in levels),
        _count(r"encoder\.down\.0\.block\.(\d+)\.", shapes),
        shapes["decoder.conv_in.weight"][1],
    )


def autoencoder_arguments(channels: tuple[int, ...], blocks: int, latents: int) -> dict[str, Any]:
    """The arguments of AutoencoderKL for the channels of each level, residual blocks per level, and latent
    channels.
    """
    return {
        "block_out_channels": channels,
        "layers_per_block": blocks,
        "latent_channels": latents,
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "norm_num_groups": _GROUPS,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": SCALE,
        "shift_factor": SHIFT,
    }


def _count(pattern: str, names: Mapping[str, Any]) -> int:
    return 1 + max((int(found[1]) for name in names if (found := re.match(pattern, name))), default=-1)


def encode(autoencoder: Any, pixels: Tensor) -> Tensor:
    """The scaled latents (channels, height, width) of pixels (3, height, width) in -1 to 1, by an
    AutoencoderKL.

    They are the posterior's mean. The released code samples the posterior, which would make contexts random.
    """
    given = pixels[None].to(autoencoder.device, autoencoder.dtype)
    with torch.inference_mode():
        mean: Tensor = autoencoder.encode(given).latent_dist.mean[0]
    scaled: Tensor = SCALE * (mean - SHIFT)
    return scaled


def decode(autoencoder: Any, latents: Tensor) -> Tensor:
    """The pixels (height, width, 3), uint8, of scaled latents (channels, height, width)."""
    given = latents[None].to(autoencoder.device, autoencoder.dtype) / SCALE + SHIFT
    with torch.inference_mode():
        pixels: Tensor = autoencoder.decode(given).sample[0].float()
    scaled = (pixels * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255
    return scaled.to(torch.uint8).cpu()  # truncates, as the released code does


class TimeEmbedding(nn.Module):
    """An MLP of two linear maps over sines and cosines of a time in [0, 1]."""

    def __init__(self, frequencies: int, width: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.mlp = nn.Sequential(nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: float) -> Tensor:
        """The embedding of a time, shape (width,)."""
        like = next(self.mlp.parameters())
        half = self.frequencies // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        angles = torch.tensor(time, dtype=torch.float32) * rates
        waves = torch.cat([angles.cos(), angles.sin()]).to(like)
        embedded: Tensor = self.mlp(waves)
        return embedded
