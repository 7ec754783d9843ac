"""Converts images of a dialogue to Pillow images and tensors, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image as Pillow
from torch import Tensor

from imug_tts.contracts import BackboneError
from imug_tts.dialogue import Image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["from_pillow", "from_tensor", "to_pillow", "to_tensor"]


def to_pillow(image: Image) -> Pillow.Image:
    """The image as an RGB Pillow image.

    Raises:
        BackboneError: the image cannot be read or decoded.
    """
    return Pillow.fromarray(_pixels(image))


def to_tensor(image: Image) -> Tensor:
    """The image as a float32 tensor of shape (3, height, width), values in [0, 1].

    Raises:
        BackboneError: the image cannot be read or decoded.
    """
    return torch.from_numpy(_pixels(image).copy()).permute(2, 0, 1).float() / 255


def from_pillow(image: Pillow.Image) -> Image:
    """The Pillow image as a PNG image."""
    import numpy as np

    return Image.from_pixels(np.asarray(image.convert("RGB")))


def from_tensor(values: Tensor) -> Image:
    """The tensor, shape (3, height, width), as a PNG image. Values are clipped to [0, 1], and NaN
    becomes 0.
    """
    levels = (values.detach().float().nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.from_pixels(levels.permute(1, 2, 0).contiguous().cpu().numpy())


def _pixels(image: Image) -> npt.NDArray[np.uint8]:
    try:
        return image.pixels()
    except (OSError, ValueError) as error:
        raise BackboneError(f"an image of the history cannot be read: {error}") from error
