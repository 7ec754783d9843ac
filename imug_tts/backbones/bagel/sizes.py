"""BAGEL's resizing rule for images, with limits that follow from its position grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pillow
from torch import Tensor

__all__ = ["Limits", "as_input", "latent_limits", "resized", "vit_limits"]

_RELEASED_EDGE: Final = 1024
_RELEASED_PIXELS: Final = 14 * 14 * 9 * 1024
"""Maximum pixels of an image for a model whose largest edge is 1024, as in the released code."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on an image's edges and pixels; edges are multiples of `stride`."""

    longest: int
    shortest: int
    stride: int
    max_pixels: int


def latent_limits(side: int, stride: int) -> Limits:
    """The limits of images that are encoded to latents, at most `side` tokens of `stride` pixels (released
    model: 512 to 1024 pixels).
    """
    longest = side * stride
    return Limits(longest=longest, shortest=longest // 2, stride=stride, max_pixels=_most_pixels(longest))


def vit_limits(side: int, patch: int, largest_image: int) -> Limits:
    """The limits of images for the ViT, at most `side` patches (released model: 224 to 980 pixels)."""
    shortest = max(1, 16 * side // 70) * patch
    return Limits(
        longest=side * patch, shortest=shortest, stride=patch, max_pixels=_most_pixels(largest_image)
    )


def _most_pixels(largest_edge: int) -> int:
    return _RELEASED_PIXELS * largest_edge**2 // _RELEASED_EDGE**2


def resized(image: Pillow.Image, limits: Limits) -> Pillow.Image:
    """The image resized to the limits, by bicubic interpolation."""
    return image.resize(_fitted(*image.size, limits), Pillow.Resampling.BICUBIC)


def _fitted(width: int, height: int, limits: Limits) -> tuple[int, int]:
    """Width and height as the released code chooses them; the limit of the longest edge takes precedence."""
    factor = min(limits.longest / max(width, height), 1.0)
    factor = max(factor, limits.shortest / min(width, height))
    width, height = _scaled(width, height, factor, limits)
    if width * height > limits.max_pixels:
        width, height = _scaled(width, height, limits.max_pixels / (width * height), limits)
    if max(width, height) > limits.longest:
        width, height = _scaled(width, height, limits.longest / max(width, height), limits)
    return width, height


def _scaled(width: int, height: int, factor: float, limits: Limits) -> tuple[int, int]:
    scaled = (round(width * factor), round(height * factor))
    across, down = (max(limits.stride, round(edge / limits.stride) * limits.stride) for edge in scaled)
    return across, down


def as_input(image: Pillow.Image) -> Tensor:
    """The image's pixels (3, height, width) in -1 to 1."""
    pixels: npt.NDArray[np.uint8] = np.array(image.convert("RGB"))
    return (torch.from_numpy(pixels).permute(2, 0, 1).float() / 255 - 0.5) / 0.5
