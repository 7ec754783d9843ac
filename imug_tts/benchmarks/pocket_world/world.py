"""The pocket world: a 4x4 grid of cells, 32 cell states, exact pixels in both directions.

A *scene* is a tuple of 16 state numbers in reading order (a1 b1 c1 d1 a2 ...): column letter, then row number
counted from the top. `render` converts a scene to pixels. `parse` converts any image to a scene by the
nearest prototype of each cell, so damaged pictures can be parsed too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 4
NUM_CELLS: Final = SIDE * SIDE
CELL_PX: Final = 16
IMAGE_PX: Final = SIDE * CELL_PX

COLOURS: Final = ("red", "yellow", "blue", "orange", "green", "purple")
PRIMARY: Final = ("red", "yellow", "blue")
SHAPES: Final = ("circle", "square", "triangle", "star")
NATURE: Final = ("seed", "sprout", "flower", "fire", "ash", "ice", "water")
STATES: Final = ("empty", *(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS), *NATURE)
STATE_OF: Final = {name: number for number, name in enumerate(STATES)}
EMPTY: Final = 0
CELLS: Final = tuple(f"{column}{row + 1}" for row in range(SIDE) for column in "abcd")
CELL_OF: Final = {name: number for number, name in enumerate(CELLS)}
ROWS: Final = tuple(f"row {row + 1}" for row in range(SIDE))
COLUMNS: Final = tuple(f"column {column}" for column in "abcd")
LINES: Final = (*ROWS, *COLUMNS)

SEED, SPROUT, FLOWER, FIRE, ASH, ICE, WATER = (STATE_OF[name] for name in NATURE)
PLANTS: Final = frozenset({SEED, SPROUT, FLOWER})
MIXTURES: Final = {
    frozenset({"red", "yellow"}): "orange",
    frozenset({"yellow", "blue"}): "green",
    frozenset({"red", "blue"}): "purple",
}

Scene = tuple[int, ...]
Pixels = NDArray[np.uint8]
BLANK: Final[Scene] = (EMPTY,) * NUM_CELLS


def is_shape(state: int) -> bool:
    """Whether a state is a coloured shape, which can be painted."""
    return 1 <= state <= len(COLOURS) * len(SHAPES)


def colour_of(state: int) -> str:
    """The colour word of a shape. Raises ValueError for other states."""
    if not is_shape(state):
        raise ValueError(f"{STATES[state]!r} has no colour")
    return COLOURS[(state - 1) % len(COLOURS)]


def shape_of(state: int) -> str:
    """The shape word of a shape. Raises ValueError for other states."""
    if not is_shape(state):
        raise ValueError(f"{STATES[state]!r} has no shape")
    return SHAPES[(state - 1) // len(COLOURS)]


def recoloured(state: int, colour: str) -> int:
    """The state of the same shape in another colour."""
    return STATE_OF[f"{colour} {shape_of(state)}"]


def line_cells(line: str) -> tuple[int, ...]:
    """The cells of "row 2" (left to right) or "column b" (top to bottom)."""
    if line in ROWS:
        start = ROWS.index(line) * SIDE
        return tuple(range(start, start + SIDE))
    return tuple(range(COLUMNS.index(line), NUM_CELLS, SIDE))


def neighbours(cell: int) -> tuple[int, ...]:
    """The cells that share an edge with `cell`."""
    row, column = divmod(cell, SIDE)
    around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return tuple(r * SIDE + c for r, c in around if 0 <= r < SIDE and 0 <= c < SIDE)


def fall(scene: Scene) -> Scene:
    """The scene after gravity: everything drops to the bottom of its column, in order."""
    fallen = list(BLANK)
    for column in range(SIDE):
        things = [scene[cell] for cell in range(column, NUM_CELLS, SIDE) if scene[cell] != EMPTY]
        for height, thing in enumerate(reversed(things)):
            fallen[(SIDE - 1 - height) * SIDE + column] = thing
    return tuple(fallen)


def blow(scene: Scene, line: str, forward: bool) -> Scene:
    """The scene after wind: one row or column shifts cyclically by one cell (forward is right or down)."""
    cells = line_cells(line)
    blown, step = list(scene), 1 if forward else -1
    for place, cell in enumerate(cells):
        blown[cells[(place + step) % SIDE]] = scene[cell]
    return tuple(blown)


def pass_time(scene: Scene) -> Scene:
    """The scene after one wait: seed > sprout > flower, ice > water > gone, fire > ash and spreads to plants
    beside it.
    """
    after = {SEED: SPROUT, SPROUT: FLOWER, ICE: WATER, WATER: EMPTY, FIRE: ASH}
    return tuple(
        FIRE
        if state in PLANTS and any(scene[near] == FIRE for near in neighbours(cell))
        else after.get(state, state)
        for cell, state in enumerate(scene)
    )


_RGB: Final = {
    "red": (214, 39, 40), "yellow": (240, 208, 40), "blue": (31, 90, 200),
    "orange": (245, 130, 20), "green": (44, 150, 60), "purple": (130, 60, 170),
    "paper": (250, 250, 246), "grid": (214, 214, 208), "brown": (120, 78, 40), "leaf": (110, 200, 90),
    "pink": (240, 120, 180), "flame": (230, 60, 10), "grey": (120, 120, 120), "frost": (190, 230, 250),
    "sea": (60, 150, 220), "white": (255, 255, 255),
}  # fmt: skip


def _masks() -> dict[str, NDArray[np.bool_]]:
    """The named 16x16 silhouettes."""
    y, x = np.mgrid[0:CELL_PX, 0:CELL_PX] - (CELL_PX - 1) / 2
    angle, radius = np.arctan2(x, -y), np.hypot(x, y)
    petals = np.abs(((angle * 5 / (2 * np.pi)) + 0.5) % 1 - 0.5) * 2
    return {
        "circle": radius < 5.6,
        "square": (np.abs(x) < 5) & (np.abs(y) < 5),
        "triangle": (y < 5) & (y > 2 * np.abs(x) - 6),
        "star": radius < 7 - 4.2 * petals,
        "stem": (np.abs(x) < 1) & (y > -1) & (y < 7),
        "soil": (y > 4.6) & (np.abs(x) < 5),
        "grain": np.hypot(x / 0.8, y - 3) < 2.2,
        "leaves": (np.hypot(np.abs(x) - 3, y - 1) < 2.2),
        "bloom": np.hypot(x, y + 3) < 3.6,
        "heart": np.hypot(x, y + 3) < 1.6,
        "flame": (np.hypot(x, y - 2) < 4.6) | ((y < 2) & (y > 3 * np.abs(x) - 7)),
        "core": np.hypot(x, y - 3) < 2.4,
        "heap": (y > 1) & (np.hypot(x, y - 6) < 6),
        "block": np.maximum(np.abs(x), np.abs(y)) < 6,
        "shine": (np.abs(x + y) < 1.5) & (radius < 6),
        "pool": np.hypot(x / 1.4, y - 3) < 4,
    }


_LAYERS: Final = {
    "seed": (("soil", "brown"), ("grain", "leaf")),
    "sprout": (("soil", "brown"), ("stem", "green"), ("leaves", "leaf")),
    "flower": (("soil", "brown"), ("stem", "green"), ("bloom", "pink"), ("heart", "yellow")),
    "fire": (("flame", "flame"), ("core", "yellow")),
    "ash": (("heap", "grey"),),
    "ice": (("block", "frost"), ("shine", "white")),
    "water": (("pool", "sea"),),
}


def _layers(state: int) -> tuple[tuple[str, str], ...]:
    if state == EMPTY:
        return ()
    return ((shape_of(state), colour_of(state)),) if is_shape(state) else _LAYERS[STATES[state]]


@cache
def prototypes() -> Pixels:
    """The exact picture of every cell state: uint8 (32, 16, 16, 3)."""
    masks, patches = _masks(), np.empty((len(STATES), CELL_PX, CELL_PX, 3), np.uint8)
    for state, patch in enumerate(patches):
        patch[:] = _RGB["paper"]
        for mask, colour in _layers(state):
            patch[masks[mask]] = _RGB[colour]
        patch[0], patch[:, 0] = _RGB["grid"], _RGB["grid"]
    patches.flags.writeable = False
    return patches


def render(scene: Scene) -> Pixels:
    """The picture of a scene: uint8 (64, 64, 3)."""
    patches = prototypes()[list(scene)].reshape(SIDE, SIDE, CELL_PX, CELL_PX, 3)
    return np.ascontiguousarray(patches.transpose(0, 2, 1, 3, 4).reshape(IMAGE_PX, IMAGE_PX, 3))


def to_patches(pixels: Pixels) -> Pixels:
    """The cells of an image: uint8 (16, 16, 16, 3). Images of other sizes are sampled at the nearest pixel.

    Raises ValueError if `pixels` is not a non-empty height x width x 3 array.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"an image is height x width x 3, not {pixels.shape}")
    rows, columns = ((np.arange(IMAGE_PX) + 0.5) * n // IMAGE_PX for n in pixels.shape[:2])
    fitted = pixels[rows.astype(int)[:, None], columns.astype(int)[None]]
    grid = fitted.reshape(SIDE, CELL_PX, SIDE, CELL_PX, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(NUM_CELLS, CELL_PX, CELL_PX, 3))


def parse(pixels: Pixels) -> Scene:
    """The scene in any image: each cell gets the state with the nearest picture (squared error).

    Raises ValueError if `pixels` is not a non-empty height x width x 3 array.
    """
    cells = to_patches(pixels).reshape(NUM_CELLS, -1).astype(np.float64)
    known = prototypes().reshape(len(STATES), -1).astype(np.float64)
    distance = (known**2).sum(1) - 2 * cells @ known.T
    return tuple(int(state) for state in distance.argmin(1))


@dataclass(frozen=True, slots=True)
class Points:
    """The three evaluation points of an image turn, each 0-5; 5 only if every cell of the point is right.

    change: the cells that the request changes; keep: the occupied cells that it does not change; clean: the
    cells that must be empty and are not changed (nothing spurious).
    """

    change: int
    keep: int
    clean: int

    @property
    def score(self) -> float:
        """The mean of the points as a share of 5, in [0, 1]."""
        return (self.change + self.keep + self.clean) / 15


def changed_cells(before: Scene, after: Scene) -> tuple[int, ...]:
    """The cells in which two scenes differ."""
    return tuple(cell for cell in range(NUM_CELLS) if before[cell] != after[cell])


def grade(before: Scene, after: Scene, drawn: Scene) -> Points:
    """The points of a drawn scene for the requested change `before` -> `after`."""
    right = [drawn[cell] == after[cell] for cell in range(NUM_CELLS)]

    def points(cells: list[int]) -> int:
        return 5 * sum(right[cell] for cell in cells) // len(cells) if cells else 5

    asked = set(changed_cells(before, after))
    rest = [cell for cell in range(NUM_CELLS) if cell not in asked]
    return Points(
        change=points(sorted(asked)),
        keep=points([cell for cell in rest if after[cell] != EMPTY]),
        clean=points([cell for cell in rest if after[cell] == EMPTY]),
    )
