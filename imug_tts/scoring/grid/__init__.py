"""Scores of Geometric_Coloring drawings: reads a 3x3 grid of cells and compares it with the truth.

A matrix describes a drawing row by row: "0" no cell, "1" a blank cell, "r" red, "g" green. The rule
`official` reads drawings exactly as the IMUG-Bench scorer does, for comparison with published scores;
`robust` reads them as a person would. Both rules give the same points for the same matrix.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from imug_tts.contracts import JudgeError, Score
from imug_tts.dialogue import MAX_PIXELS, Image
from imug_tts.scoring import GridRule as Rule
from imug_tts.scoring.grid import official, robust

__all__ = ["Analysis", "Matrix", "Rule", "analyse", "decode", "points", "score_grid"]

Matrix = Sequence[Sequence[str]]

_RULES: Final[dict[Rule, ModuleType]] = {"official": official, "robust": robust}
_FULL_POINT: Final = 5


@dataclass(frozen=True)
class Analysis:
    """The matrix of a drawing; None if no grid could be read, with the reason in `message`."""

    matrix: list[list[str]] | None
    message: str


def decode(encoded: bytes) -> npt.NDArray[np.uint8] | None:
    """Return the RGB pixels of shape (h, w, 3) that the official scorer sees; None if it cannot decode them.

    This is OpenCV's decoder. Unlike `Image.pixels` it drops transparency: a transparent pixel has the colour
    stored in the file, often black. A damaged file whose header Pillow rejects counts as undecodable, even if
    OpenCV might decode it: without its size it is not safe to decode.

    Raises:
        JudgeError: the image has more than `MAX_PIXELS` pixels.
    """
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(encoded)) as header:
            width, height = header.size
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise JudgeError(f"the drawing is too large to decode: {error}") from error
    except OSError:
        return None
    if width * height > MAX_PIXELS:
        raise JudgeError(f"the drawing has {width}x{height} pixels; at most {MAX_PIXELS} are decoded")
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return None if bgr is None else np.ascontiguousarray(bgr[..., ::-1], np.uint8)


def analyse(pixels: npt.NDArray[np.uint8] | None, rule: Rule) -> Analysis:
    """Return the matrix of RGB pixels of shape (h, w, 3); `pixels` is None if they could not be decoded."""
    if pixels is None:
        return Analysis(None, "Image read failed")
    matrix = _RULES[rule].read(pixels)
    return Analysis(matrix, "Grid not found" if matrix is None else "OK")


def points(detected: Matrix | None, truth: Matrix, num_points: int) -> list[int]:
    """Return 0 or 5 for each evaluation point of a turn: grid found, cell positions, red cells, green cells.

    This reproduces the official scorer: a misplaced cell also costs the points for colours, every point after
    the fourth is 0, and a readable drawing gets its first two points even if the turn has fewer.
    """
    if detected is None:
        return [0] * num_points
    in_place = _where(detected, _is_cell) == _where(truth, _is_cell)
    red, green = (in_place and _where(detected, c.__eq__) == _where(truth, c.__eq__) for c in "rg")
    earned = [_FULL_POINT * passed for passed in (True, in_place, red, green)] + [0] * num_points
    return earned[: max(num_points, 1 + in_place)]


def score_grid(image: Image, truth: Matrix, num_points: int, rule: Rule) -> Score:
    """Return the score of a drawing: the mean of its points, scaled to [0, 1].

    Raises:
        JudgeError: the image is too large to decode.
    """
    analysis = _analysed(image.read(), rule)
    earned = points(analysis.matrix, truth, num_points)
    detail = {"points": earned, "matrix": analysis.matrix, "message": analysis.message, "rule": rule}
    return Score(value=sum(earned) / len(earned) / _FULL_POINT, detail=detail)


def _analysed(encoded: bytes, rule: Rule) -> Analysis:
    """Return the matrix under a rule; `robust` falls back to the official decoder if it sees no cell."""
    official = decode(encoded)
    if rule == "official":
        return analyse(official, rule)
    try:
        seen = analyse(Image.from_bytes(encoded).pixels(), rule)
    except OSError:  # OpenCV may decode a part of a damaged file
        return analyse(official, rule)
    if _has_cells(seen):
        return seen
    otherwise = analyse(official, rule)
    return seen if otherwise.matrix is None else otherwise


def _has_cells(analysis: Analysis) -> bool:
    return any(_is_cell(cell) for row in analysis.matrix or () for cell in row)


def _where(matrix: Matrix, test: Callable[[str], bool]) -> list[list[bool]]:
    return [[test(cell) for cell in row] for row in matrix]


def _is_cell(cell: str) -> bool:
    return cell != "0"
