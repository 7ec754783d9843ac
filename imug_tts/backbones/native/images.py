"""Images of a dialogue as Pillow images and as tensors, and back."""

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
    """The image in RGB, as a viewer shows it.

    Raises:
        BackboneError: the image cannot be read or decoded.
    """
    return Pillow.fromarray(_pixels(image))


def to_tensor(image: Image) -> Tensor:
    """The image as float32 of shape (3, height, width), values 0 to 1.

    Raises:
        BackboneError: the image cannot be read or decoded.
    """
    return torch.from_numpy(_pixels(image).copy()).permute(2, 0, 1).float() / 255


def from_pillow(image: Pillow.Image) -> Image:
    """The image as PNG."""
    import numpy as np

    return Image.from_pixels(np.asarray(image.convert("RGB")))


def from_tensor(values: Tensor) -> Image:
    """PNG of values of shape (3, height, width), 0 to 1; values outside are cut off, and NaN is 0."""
    levels = (values.detach().float().nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.from_pixels(levels.permute(1, 2, 0).contiguous().cpu().numpy())


def _pixels(image: Image) -> npt.NDArray[np.uint8]:
    try:
        return image.pixels()
    except (OSError, ValueError) as error:
        raise BackboneError(f"an image of the history cannot be read: {error}") from error
