"""The official reading of a drawing, if the lines of the drawing confirm it.

The official rule takes the bounding box of all dark pixels for the grid. The lines confirm that if each cell
that it reads as drawn has lines on all four sides of its ninth of the box, no other ninth has, and no line
divides a ninth.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from imug_tts.scoring.grid import official

__all__ = ["read"]

Mask = npt.NDArray[np.bool_]

_SIDE: Final = 300
"""The box is scaled to this number of pixels per side."""
_CELL: Final = _SIDE // 3
_NEAR: Final = 16
"""Distance in pixels up to which a line counts as a side, for gaps between cells and small rotations."""
_DRAWN: Final = 0.9
"""Least share of a side that must have a line."""


def read(pixels: npt.NDArray[np.uint8], lines: Mask) -> list[list[str]] | None:
    """Return the official reading; None if the lines do not confirm it.

    Args:
        pixels: of shape (h, w, 3), RGB.
        lines: of shape (h, w), True where the drawing has dark lines.
    """
    matrix = official.read(pixels)
    if matrix is None:
        return None
    box = cv2.resize(_box(pixels, lines).astype(np.uint8), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) > 0
    places = [(row, column) for row in range(3) for column in range(3)]
    if any(_is_divided(box, row, column) for row, column in places):
        return None
    return matrix if all(_is_enclosed(box, r, c) == (matrix[r][c] != "0") for r, c in places) else None


def _box(pixels: npt.NDArray[np.uint8], lines: Mask) -> Mask:
    left, top, width, height = official.box(pixels)
    return lines[top : top + height, left : left + width]


def _is_divided(box: Mask, row: int, column: int) -> bool:
    """Return whether a line runs through the middle of a ninth, as in a box with more than nine cells."""
    left, top = column * _CELL, row * _CELL
    middle = box[top + 2 * _NEAR : top + _CELL - 2 * _NEAR, left + 2 * _NEAR : left + _CELL - 2 * _NEAR]
    return bool(max(middle.mean(axis=0).max(), middle.mean(axis=1).max()) >= _DRAWN)


def _is_enclosed(box: Mask, row: int, column: int) -> bool:
    """Return whether a ninth has lines on all four sides."""
    padded = np.pad(box, _NEAR)  # sides at the border of the box need a margin to be searched
    left, top = column * _CELL, row * _CELL
    strips = [
        padded[top + shift : top + shift + 2 * _NEAR, left + _NEAR : left + _NEAR + _CELL].T
        for shift in (0, _CELL)
    ] + [
        padded[top + _NEAR : top + _NEAR + _CELL, left + shift : left + shift + 2 * _NEAR]
        for shift in (0, _CELL)
    ]
    inner = slice(2 * _NEAR, _CELL - 2 * _NEAR)
    return all(bool(strip[inner].any(axis=1).mean() >= _DRAWN) for strip in strips)
