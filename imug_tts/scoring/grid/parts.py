"""Segments a drawing into red, green, blank, other colours and ink, after removing noise."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Mask", "Mat", "colours_of", "shrunk", "smoothed", "squared"]

Mask = npt.NDArray[np.bool_]
Mat = cv2.typing.MatLike

_MAX_SIDE: Final = 1024
"""Images with a longer side are scaled down."""
_RED_BELOW, _GREEN, _RED_ABOVE = 10, (35, 95), 160
"""Hue limits of the official rule, in OpenCV's units of two degrees."""
_MIN_SATURATION: Final = 60
_BLACK: Final = 50
_DARKER: Final = 45
"""Difference, in levels of 255, by which a line is darker than the page or its surroundings."""


def shrunk(pixels: Mat) -> Mat:
    """Return the image with at most `_MAX_SIDE` pixels per side."""
    height, width = pixels.shape[:2]
    scale = _MAX_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def squared(pixels: Mat) -> Mat:
    """Return the image scaled to a square, for a drawing that was stretched with its page."""
    side = min(pixels.shape[:2])
    return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)


def smoothed(pixels: Mat) -> Mat:
    """Return the image without pixel noise; edges are preserved."""
    spread = max(30.0, 4 * _noise(pixels))
    smoothed = cv2.bilateralFilter(pixels, d=5, sigmaColor=spread, sigmaSpace=2)
    return (
        smoothed if spread == 30 else cv2.bilateralFilter(smoothed, d=5, sigmaColor=spread / 2, sigmaSpace=2)
    )


def _noise(pixels: Mat) -> float:
    """Return the standard deviation of noise, from the median of second differences, robust to lines."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float64)
    if min(gray.shape) < 3:
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    return float(np.median(np.abs(cv2.filter2D(gray, -1, kernel)))) / (6 * 0.6745)


def colours_of(picture: Mat) -> dict[str, Mask]:
    """Return disjoint masks of red, green, blank, other colours and ink, which cover the whole image."""
    channels = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV))
    hue, saturation, value = (channel.astype(int) for channel in channels)
    coloured = saturation >= _MIN_SATURATION
    page = np.median(np.concatenate([value[0], value[-1], value[:, 0], value[:, -1]]))
    dark = (value < _BLACK) | (~coloured & (value < page - _DARKER)) | _furrows(picture)
    ink = _mended(dark, picture)
    red = ~ink & coloured & ((hue <= _RED_BELOW) | (hue >= _RED_ABOVE))
    green = ~ink & coloured & (hue >= _GREEN[0]) & (hue <= _GREEN[1])
    blank = ~ink & ~coloured
    return {"ink": ink, "r": red, "g": green, "1": blank, "other": ~(ink | red | green | blank)}


def _furrows(picture: Mat) -> Mask:
    """Return the mask of thin lines that are darker than both sides, e.g. between two red cells."""
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    filled = cv2.morphologyEx(gray, cv2.MORPH_CLOSE, _square(picture, 64))
    depth = np.subtract(filled, gray, dtype=np.float64)
    return np.asarray(depth > np.clip(0.35 * filled, 15, _DARKER))


def _mended(ink: Mask, picture: Mat) -> Mask:
    """Return the mask of ink with its smallest gaps closed."""
    return cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_CLOSE, _square(picture, 80)) > 0


def _square(picture: Mat, share: int) -> Mat:
    """Return a square kernel with an odd side of about 1/`share` of the image's longer side."""
    side = max(picture.shape[:2]) // share | 1
    return np.ones((max(3, side), max(3, side)), np.uint8)
