"""The IMUG-Bench scorer's reading of a 3x3 grid drawing (https://github.com/ccccEsion/IMUG-Bench).

Reproduced exactly, misreadings included, so that scores are comparable with published ones. So the OpenCV
functions, their parameters and their order are part of the rule.

The bounding box of all dark pixels is divided into three by three cells. A cell counts as drawn if an outline
that is at least three pixels thick encloses it. This causes the misreadings: thin outlines are missed, a
caption enlarges the box, and a row or column without ink is not part of it.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["box", "read"]

Pixels = npt.NDArray[np.uint8]

_HSV_RANGES: Final = {
    "r": (((0, 70, 40), (10, 255, 255)), ((160, 70, 40), (180, 255, 255))),
    "g": (((35, 70, 40), (95, 255, 255)),),
}
_CELL: Final = 100
"""Side of a cell, in pixels, after the drawing is scaled to 300x300."""
_MIN_OUTLINE_AREA: Final = 50
_MIN_DRAWN: Final = 15
_MIN_COLOURED: Final = 30
"""Least mean of a mask with values 0 and 255 over a cell."""


def read(pixels: Pixels) -> list[list[str]] | None:
    """Return the cells of an RGB image of shape (h, w, 3), row by row; None if nothing is dark."""
    ink = _ink(pixels)
    left, top, width, height = cv2.boundingRect(ink)
    if not width:
        return None
    box = np.s_[top : top + height, left : left + width]
    solid = _scaled(_enclosed(ink)[box])
    hsv = cv2.cvtColor(_scaled(pixels[box]), cv2.COLOR_RGB2HSV)
    return [[_cell(solid, hsv, row, column) for column in range(3)] for row in range(3)]


def box(pixels: Pixels) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the bounding box of dark pixels; width 0 if there are none."""
    left, top, width, height = cv2.boundingRect(_ink(pixels))
    return left, top, width, height


def _ink(pixels: Pixels) -> cv2.typing.MatLike:
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return cv2.adaptiveThreshold(
        gray, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY_INV, blockSize=15, C=10
    )


def _enclosed(ink: cv2.typing.MatLike) -> cv2.typing.MatLike:
    """Return the mask of areas that thick outlines enclose, outlines included."""
    thick = cv2.erode(ink, np.ones((3, 3), np.uint8))
    mask = np.zeros_like(thick)
    for outline in cv2.findContours(thick, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        if cv2.contourArea(outline) > _MIN_OUTLINE_AREA:
            cv2.drawContours(mask, [outline], -1, 255, cv2.FILLED)
    return mask


def _scaled(image: cv2.typing.MatLike) -> cv2.typing.MatLike:
    return cv2.resize(image, (3 * _CELL, 3 * _CELL))


def _cell(solid: cv2.typing.MatLike, hsv: cv2.typing.MatLike, row: int, column: int) -> str:
    if np.mean(_inner(solid, row, column, margin=10)) < _MIN_DRAWN:
        return "0"
    patch = _inner(hsv, row, column, margin=20)
    for colour, ranges in _HSV_RANGES.items():
        if sum(np.mean(cv2.inRange(patch, low, high)) for low, high in ranges) > _MIN_COLOURED:
            return colour
    return "1"


def _inner(image: cv2.typing.MatLike, row: int, column: int, margin: int) -> cv2.typing.MatLike:
    top, left = row * _CELL, column * _CELL
    return image[top + margin : top + _CELL - margin, left + margin : left + _CELL - margin]
