"""Reads 3x3 grids as a person would: finds the cells first, and derives the grid from them.

A cell is a four-sided region of one colour, of the most common size in the drawing, separated from the page
by a line or by its colour. So line weight, gaps between cells, rotation and captions have no effect. Rows and
columns follow from the positions of cells. If a row or column is empty, cells are placed relative to the
frame around them or, without a frame, relative to the middle of the image.

A blank square with a much fainter outline than the others is a guide to draw on, and no cell.

The official reading is used instead if the lines of the drawing confirm it and this reading finds fewer cells
or none, and to distinguish guides and holes from cells. A drawing with much red or green outside of its cells
has cells that were not found: it cannot be read.

Limits: a hole of the size of a cell, enclosed by cells or a frame, is read as a blank cell. A caption shifts
the middle of the image, and with it a grid with an empty outer row or column and no frame. Rotations by 45
degrees or more, photographs, and white lines on black are not supported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import fmean, median
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from imug_tts.scoring.grid import official, trusted
from imug_tts.scoring.grid.parts import Mask, Mat, colours_of, shrunk, smoothed, squared

__all__ = ["read"]

Pixels = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float64]

_MIN_COLOURED: Final = 0.15
"""Least share of a red or green cell's area that has the colour."""
_FAINTER: Final = 0.42
"""A blank square is a guide if its lightest side weighs less than this share of a cell's sides.

The share is below one half, because sides that two cells share are often drawn twice."""
_SLIGHTLY_FAINTER: Final = 0.85
"""This share for squares that the official rule misses too."""
_HOLE: Final = 1.05
"""A hole between cells with gaps is larger than the cells by at least this factor."""
_MUCH_COLOUR: Final = 0.4
"""Least coloured area outside of cells, as a share of a cell's area, that indicates missed cells."""
_SAME_SIZE: Final = 1.3
_INSET: Final = 0.45
_MARK: Final = 0.2
"""A region inside a square is a mark if its side is below this share; a filling if above `_INSET`; else a
cell."""


@dataclass(frozen=True)
class _Region:
    """A connected region by its minimum-area rectangle: centre, width, height and rotation."""

    outline: Mat
    x: float
    y: float
    width: float
    height: float
    degrees: float
    """In [-45, 45], clockwise."""

    @property
    def side(self) -> float:
        return math.sqrt(self.width * self.height)

    @property
    def four_sided(self) -> bool:
        fill = cv2.contourArea(self.outline) / max(self.width * self.height, 1)
        return fill > 0.92 - 1 / max(self.side, 1) and 0.6 < self.width / max(self.height, 1) < 1.67

    def holds(self, other: _Region) -> bool:
        middle = (other.x, other.y)
        return other.side < self.side and cv2.pointPolygonTest(self.outline, middle, measureDist=False) > 0

    def fills(self, other: _Region) -> bool:
        """Return whether the region is a mark or filling of `other`, and not one of its cells."""
        return not _MARK < self.side / other.side < _INSET

    def alike(self, other: _Region) -> bool:
        pairs = ((self.width, other.width), (self.height, other.height))
        return all(max(pair) < _SAME_SIZE * min(pair) for pair in pairs)


class _Placed(NamedTuple):
    """A cell with its row and column, its filling, and the line weight of its four sides."""

    row: int
    column: int
    filling: str
    side: float
    sides: tuple[float, ...]
    """Line weight of each side, in pixels of black."""

    @property
    def weight(self) -> float:
        return min(self.sides)

    @property
    def heaviest(self) -> float:
        return max(self.sides)


def read(pixels: Pixels) -> list[list[str]] | None:
    """Return the cells of an RGB image of shape (h, w, 3), row by row.

    Returns None if nothing is drawn, cells are missed, or there are more than three rows or columns.
    """
    picture = np.asarray(shrunk(pixels), np.uint8)
    found = _read(picture)
    sure = trusted.read(picture, _lines(picture))
    if sure is not None and (found is None or _only_misses(found, sure)):
        return sure
    return found or _read(np.asarray(squared(picture), np.uint8))


def _only_misses(found: list[list[str]], sure: list[list[str]]) -> bool:
    """Return whether every cell of `found` is in the other reading too."""
    return all(
        f in ("0", s) for row, other in zip(found, sure, strict=True) for f, s in zip(row, other, strict=True)
    )


def _lines(picture: Pixels) -> Mask:
    colours = colours_of(smoothed(picture))
    return colours["ink"] | colours["other"]


def _read(pixels: Pixels) -> list[list[str]] | None:
    picture = smoothed(pixels)
    colours = colours_of(picture)
    regions = list(_regions(colours))
    squares = [region for region in regions if region.four_sided]
    half = min(picture.shape[:2]) / 2
    cells = _cells([square for square in squares if half / 8 < square.side < half])
    if not cells:
        return [["0"] * 3 for _ in range(3)] if any(square.side >= half for square in squares) else None
    rows, columns = _rows_and_columns(cells, regions, picture.shape)
    if rows is None or columns is None or _leaves_colour(cells, colours):
        return None
    darkness = np.where(
        colours["ink"] | colours["other"], 1 - cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) / 255, 0
    )
    placed = [
        _Placed(row, column, filling, cell.side, tuple(_side_weights(cell, darkness)))
        for cell, row, column, filling in zip(
            cells, rows, columns, _fillings(cells, squares, colours, darkness), strict=True
        )
    ]
    return _without_guides(placed, official.read(pixels))


def _without_guides(placed: Sequence[_Placed], theirs: list[list[str]] | None) -> list[list[str]]:
    """Return the matrix without guides; `theirs` is the official reading, which misses thin lines.

    Squares that the official reading misses are holes between cells if they are larger than all others, and
    guides if they are fainter. They also look fainter if only the shared sides of cells are drawn twice. Then
    the middle cell is the only one left, and the sides between the squares around it are as heavy as its own.
    """
    matrix = _matrix(placed)
    doubtful = [p for p in placed if theirs and p.filling == "1" and theirs[p.row][p.column] == "0"]
    sure = [p for p in placed if p not in doubtful]
    if not doubtful or not sure or _matrix(sure) != theirs:
        return matrix
    if min(p.side for p in doubtful) > _HOLE * max(p.side for p in sure):
        return theirs
    corners = [p for p in doubtful if p.row != 1 and p.column != 1]
    only_middle = all((p.row, p.column) == (1, 1) for p in sure)
    faint = [p.heaviest for p in corners] if only_middle else [p.weight for p in doubtful]
    return (
        theirs if max(faint, default=math.inf) < _SLIGHTLY_FAINTER * min(p.weight for p in sure) else matrix
    )


def _matrix(placed: Sequence[_Placed]) -> list[list[str]]:
    heaviest = max(cell.weight for cell in placed)
    matrix = [["0"] * 3 for _ in range(3)]
    for cell in placed:
        guide = cell.filling == "1" and cell.weight < _FAINTER * heaviest
        matrix[cell.row][cell.column] = "0" if guide else cell.filling
    return matrix


def _regions(colours: dict[str, Mask]) -> Iterator[_Region]:
    """Yield every connected region except the page, which touches the border of the image."""
    for colour in ("r", "g", "1", "other"):
        mask = colours[colour]
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
        height, width = mask.shape
        for label, (left, top, w, h, area) in enumerate(stats[1:], start=1):
            inside = left > 0 and top > 0 and left + w < width and top + h < height
            if area >= 16 and (inside or colour in "rg"):
                yield _region(labels[top : top + h, left : left + w] == label, left, top)


def _region(mask: Mask, left: int, top: int) -> _Region:
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
    )
    outline = max(outlines, key=cv2.contourArea)
    (x, y), (width, height), degrees = cv2.minAreaRect(outline)
    quarters = round(degrees / 90)
    if quarters % 2:
        width, height = height, width
    return _Region(outline, x, y, width, height, degrees - 90 * quarters)


def _cells(squares: Sequence[_Region]) -> list[_Region]:
    """Return the four-sided regions of the dominant size, without frames and fillings."""
    squares = [b for b in squares if not any(a.holds(b) and b.fills(a) for a in squares)]
    squares = [a for a in squares if not any(a.holds(b) for b in squares)]
    groups = [[b for b in squares if a.alike(b)] for a in squares]
    return max(groups, key=lambda group: sum(square.side for square in group), default=[])


def _rows_and_columns(
    cells: Sequence[_Region], regions: Sequence[_Region], shape: Sequence[int]
) -> tuple[list[int] | None, list[int] | None]:
    upright = cv2.getRotationMatrix2D((0, 0), median(cell.degrees for cell in cells), 1)[:, :2]
    side = median(cell.side for cell in cells)
    centres = np.array([(cell.x, cell.y) for cell in cells]) @ upright.T
    drawn = np.concatenate([r.outline[:, 0] for r in regions if r.side > side / 2]) @ upright.T
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    framed = any(region.side > _SAME_SIZE * side for region in regions)
    middle = np.where(
        framed & (high - low > 2.9 * side), (low + high) / 2, upright @ (shape[1] / 2, shape[0] / 2)
    )
    columns = _Axis(centres[:, 0].tolist(), median(cell.width for cell in cells), middle[0])
    rows = _Axis(centres[:, 1].tolist(), median(cell.height for cell in cells), middle[1])
    step = min(columns.step, rows.step)
    return rows.places(step), columns.places(step)


@dataclass(frozen=True)
class _Axis:
    """The centres of cells along one axis, the length of a cell along it, and the middle of the page."""

    centres: Sequence[float]
    side: float
    middle: float

    @cached_property
    def levels(self) -> list[float]:
        """The means of nearly equal centres, in order."""
        levels: list[list[float]] = []
        for centre in sorted(self.centres):
            if not levels or centre - levels[-1][0] > self.side / 2:
                levels.append([])
            levels[-1].append(centre)
        return [fmean(level) for level in levels]

    @property
    def step(self) -> float:
        """The least distance between levels, in lengths of a cell; infinite for one level."""
        return min((b - a for a, b in pairwise(self.levels)), default=math.inf) / self.side

    def places(self, step: float) -> list[int] | None:
        """Return the index 0, 1 or 2 of each centre; None if there are more than three levels.

        `step` is the lesser one of both axes.
        """
        if len(self.levels) > 3:
            return None
        slots = self._slots(step)
        nearest = [
            min(range(len(self.levels)), key=lambda i: abs(self.levels[i] - centre))
            for centre in self.centres
        ]
        return [slots[i] for i in nearest]

    def _slots(self, step: float) -> Sequence[int]:
        if len(self.levels) == 3:
            return (0, 1, 2)
        off_centre = fmean(self.levels) - self.middle
        if len(self.levels) == 1:
            return (min(2, max(0, 1 + round(off_centre / (1.1 * self.side)))),)
        if self._is_gap_between(step, abs(off_centre)):
            return (0, 2)
        return (1, 2) if off_centre > self.side / 4 else (0, 1)

    def _is_gap_between(self, step: float, off_centre: float) -> bool:
        """Return whether two levels are so far apart that an empty level is between them."""
        distance = self.levels[1] - self.levels[0]
        if distance > 1.5 * step * self.side:
            return True
        # Neighbours with a wide gap can have the same distance; then both are half of it from the middle.
        beside = abs(off_centre - distance / 2) < distance / 20
        return distance > 1.7 * self.side and (
            off_centre < distance / 4 or (distance > 2 * self.side and not beside)
        )


def _leaves_colour(cells: Sequence[_Region], colours: dict[str, Mask]) -> bool:
    """Return whether much red or green is outside of the cells and the page: then cells were missed."""
    outside = colours["r"] | colours["g"]
    for cell in cells:
        outside &= ~_inside(cell, outside.shape)
    _, labels = cv2.connectedComponents(outside.astype(np.uint8), connectivity=4)
    page = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    outside &= ~np.isin(labels, page)
    return bool(outside.sum() > _MUCH_COLOUR * median(cell.width * cell.height for cell in cells))


def _fillings(
    cells: Sequence[_Region], squares: Sequence[_Region], colours: dict[str, Mask], darkness: Mat
) -> list[str]:
    """Return each cell's filling: "1", "r" or "g"; "0" for guides, if other cells hold heavier squares."""
    holding = [any(_is_drawn_in(square, cell, darkness) for square in squares) for cell in cells]
    return [
        _filling(cell, colours) if holds or not any(holding) else "0"
        for cell, holds in zip(cells, holding, strict=True)
    ]


def _is_drawn_in(square: _Region, cell: _Region, darkness: Mat) -> bool:
    """Return whether a square inside a cell has its own outline, heavier than the cell's."""
    if not (cell.holds(square) and square.fills(cell) and square.side > cell.side / 2):
        return False
    inside = np.where(_inside(cell, darkness.shape), darkness, 0)
    return min(_side_weights(cell, darkness)) < _SLIGHTLY_FAINTER * min(_side_weights(square, inside))


def _filling(cell: _Region, colours: dict[str, Mask]) -> str:
    inside = _inside(cell, colours["1"].shape)
    share, colour = max((colours[c][inside].mean(), c) for c in "rg")
    return colour if share > _MIN_COLOURED else "1"


def _inside(cell: _Region, shape: Sequence[int]) -> Mask:
    mask = np.zeros(shape, np.uint8)
    cv2.drawContours(mask, [cell.outline], -1, 1, cv2.FILLED)
    return mask > 0


def _side_weights(cell: _Region, darkness: Mat) -> Iterator[float]:
    angle = math.radians(cell.degrees)
    right = np.array((math.cos(angle), math.sin(angle))) * cell.width / 2
    down = np.array((-math.sin(angle), math.cos(angle))) * cell.height / 2
    return (_side_weight(darkness, cell, out, along) for out, along in _sides(right, down))


def _sides(right: Vector, down: Vector) -> Iterator[tuple[Vector, Vector]]:
    for out, along in ((right, down), (down, right)):
        yield out, along
        yield -out, along


def _side_weight(darkness: Mat, cell: _Region, out: Vector, along: Vector) -> float:
    """Return the median line weight along one side of a cell, in pixels of black.

    It is measured on rays that leave the cell through that side, as the first ink that they cross.
    """
    outward = np.linspace(0.9, 1.6, math.ceil(0.7 * np.hypot(*out)) + 1)
    sideways = np.linspace(-0.6, 0.6, 15)
    points = np.array((cell.x, cell.y)) + outward[:, None] * out + sideways[:, None, None] * along
    columns, rows = np.rint(np.moveaxis(points, -1, 0)).astype(int)
    height, width = darkness.shape
    crossed = darkness[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    begun = np.cumsum(crossed > 0, axis=1) > 0
    ended = np.cumsum(begun & (crossed == 0), axis=1) > 0
    return float(np.median(np.where(ended, 0, crossed).sum(axis=1)))
