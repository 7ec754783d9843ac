"""The operations of requests. Every operation has its words, and computes all its outcomes on a scene.

Operations are total: an operation on a missing thing does nothing, so a request can also be applied to a
damaged picture. Only `AddAnywhere` has more than one outcome; the first one is its default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.world import CELLS, EMPTY, NUM_CELLS, SIDE, STATES, Scene

RELATIONS: Final = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
WINDS: Final = {"left": False, "right": True, "up": False, "down": True}


def find(scene: Scene, thing: int) -> int | None:
    """The first cell that contains `thing`; None if there is none."""
    return scene.index(thing) if thing in scene else None


def named_once(scene: Scene, *things: int) -> bool:
    """Whether each thing is in the scene exactly once, so that its name is unambiguous."""
    return all(scene.count(thing) == 1 for thing in things)


def with_cells(scene: Scene, *changes: tuple[int, int]) -> Scene:
    """The scene with (cell, state) pairs set in order."""
    cells = list(scene)
    for cell, state in changes:
        cells[cell] = state
    return tuple(cells)


def beside(scene: Scene, relation: str, anchor: int) -> int | None:
    """The cell in that relation to the anchor; None if it is outside the grid or the anchor is missing."""
    at = find(scene, anchor)
    if at is None:
        return None
    row, column = at // SIDE + RELATIONS[relation][0], at % SIDE + RELATIONS[relation][1]
    return row * SIDE + column if 0 <= row < SIDE and 0 <= column < SIDE else None


def the(thing: int) -> str:
    """The name of a thing of the picture in a request."""
    return f"the {STATES[thing]}"


def _a(thing: int) -> str:
    name = STATES[thing]
    return f"an {name}" if name[0] in "aio" else f"a {name}"


@dataclass(frozen=True, slots=True)
class Draw:
    """The operation that draws a new picture from (state, cell) pairs."""

    things: tuple[tuple[int, int], ...]
    word = "draw"

    def words(self) -> str:
        return "draw " + " , ".join(f"{_a(thing)} at {CELLS[cell]}" for thing, cell in self.things)

    def legal(self, scene: Scene) -> bool:
        return len({cell for _, cell in self.things}) == len(self.things)

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        return (with_cells(world.BLANK, *((cell, thing) for thing, cell in self.things)),)


@dataclass(frozen=True, slots=True)
class Add:
    """The operation that adds a thing at a named cell."""

    thing: int
    cell: int
    word = "add"

    def words(self) -> str:
        return f"add {_a(self.thing)} at {CELLS[self.cell]}"

    def legal(self, scene: Scene) -> bool:
        return scene[self.cell] == EMPTY and self.thing not in scene

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        return (with_cells(scene, (self.cell, self.thing)),)


@dataclass(frozen=True, slots=True)
class AddBeside:
    """The operation that adds a thing next to another one."""

    thing: int
    relation: str
    anchor: int
    word = "add"

    def words(self) -> str:
        return f"add {_a(self.thing)} {self.relation} {the(self.anchor)}"

    def legal(self, scene: Scene) -> bool:
        cell = beside(scene, self.relation, self.anchor)
        unambiguous = self.thing not in scene and named_once(scene, self.anchor)
        return unambiguous and cell is not None and scene[cell] == EMPTY

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        cell = beside(scene, self.relation, self.anchor)
        return (scene,) if cell is None else (with_cells(scene, (cell, self.thing)),)


@dataclass(frozen=True, slots=True)
class AddAnywhere:
    """The operation that adds a thing at a cell of the model's choice: any empty cell, or any empty cell of
    one line.

    `default` is the cell in the gold picture, if it is legal; the request does not name it.
    """

    thing: int
    line: str | None
    default: int
    word = "add"

    def words(self) -> str:
        place = "anywhere" if self.line is None else f"anywhere in {self.line}"
        return f"add {_a(self.thing)} {place}"

    def open_cells(self, scene: Scene) -> list[int]:
        """The legal cells; the default comes first if it is legal."""
        cells = range(NUM_CELLS) if self.line is None else world.line_cells(self.line)
        return sorted((c for c in cells if scene[c] == EMPTY), key=lambda c: (c != self.default, c))

    def legal(self, scene: Scene) -> bool:
        return self.thing not in scene and len(self.open_cells(scene)) > 1

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        cells = self.open_cells(scene)
        return tuple(with_cells(scene, (cell, self.thing)) for cell in cells) or (scene,)


@dataclass(frozen=True, slots=True)
class Move:
    """The operation that moves a thing to a named cell."""

    thing: int
    cell: int
    word = "move"

    def words(self) -> str:
        return f"move {the(self.thing)} to {CELLS[self.cell]}"

    def legal(self, scene: Scene) -> bool:
        return named_once(scene, self.thing) and scene[self.cell] == EMPTY

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        at = find(scene, self.thing)
        return (scene,) if at is None else (with_cells(scene, (at, EMPTY), (self.cell, self.thing)),)


@dataclass(frozen=True, slots=True)
class MoveBeside:
    """The operation that moves a thing next to another one."""

    thing: int
    relation: str
    anchor: int
    word = "move"

    def words(self) -> str:
        return f"move {the(self.thing)} {self.relation} {the(self.anchor)}"

    def legal(self, scene: Scene) -> bool:
        cell = beside(scene, self.relation, self.anchor)
        unambiguous = self.thing != self.anchor and named_once(scene, self.thing, self.anchor)
        return unambiguous and cell is not None and scene[cell] == EMPTY

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        at, cell = find(scene, self.thing), beside(scene, self.relation, self.anchor)
        if at is None or cell is None:
            return (scene,)
        return (with_cells(scene, (at, EMPTY), (cell, self.thing)),)


@dataclass(frozen=True, slots=True)
class Swap:
    """The operation that exchanges two things."""

    thing: int
    other: int
    word = "swap"

    def words(self) -> str:
        return f"swap {the(self.thing)} and {the(self.other)}"

    def legal(self, scene: Scene) -> bool:
        return self.thing != self.other and named_once(scene, self.thing, self.other)

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        at, to = find(scene, self.thing), find(scene, self.other)
        if at is None or to is None:
            return (scene,)
        return (with_cells(scene, (at, self.other), (to, self.thing)),)


@dataclass(frozen=True, slots=True)
class Remove:
    """The operation that removes a thing."""

    thing: int
    word = "remove"

    def words(self) -> str:
        return f"remove {the(self.thing)}"

    def legal(self, scene: Scene) -> bool:
        return named_once(scene, self.thing)

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        at = find(scene, self.thing)
        return (scene,) if at is None else (with_cells(scene, (at, EMPTY)),)


@dataclass(frozen=True, slots=True)
class Paint:
    """The operation that changes the colour of a shape."""

    thing: int
    colour: str
    word = "paint"

    def words(self) -> str:
        return f"paint {the(self.thing)} {self.colour}"

    def legal(self, scene: Scene) -> bool:
        return named_once(scene, self.thing) and world.recoloured(self.thing, self.colour) not in scene

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        at = find(scene, self.thing)
        return (
            (scene,) if at is None else (with_cells(scene, (at, world.recoloured(self.thing, self.colour))),)
        )


@dataclass(frozen=True, slots=True)
class Mix:
    """The operation that mixes a primary colour into a shape of another primary colour."""

    colour: str
    thing: int
    word = "mix"

    def words(self) -> str:
        return f"mix {self.colour} into {the(self.thing)}"

    def legal(self, scene: Scene) -> bool:
        mixture = world.MIXTURES.get(frozenset({self.colour, world.colour_of(self.thing)}))
        if mixture is None or not named_once(scene, self.thing):
            return False
        return world.recoloured(self.thing, mixture) not in scene

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        at = find(scene, self.thing)
        if at is None:
            return (scene,)
        mixture = world.MIXTURES[frozenset({self.colour, world.colour_of(self.thing)})]
        return (with_cells(scene, (at, world.recoloured(self.thing, mixture))),)


@dataclass(frozen=True, slots=True)
class Gravity:
    """The operation that lets everything fall down."""

    word = "gravity"

    def words(self) -> str:
        return "gravity"

    def legal(self, scene: Scene) -> bool:
        return True

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        return (world.fall(scene),)


@dataclass(frozen=True, slots=True)
class Wind:
    """The operation that shifts a row (left, right) or a column (up, down) cyclically by one cell."""

    direction: str
    line: str
    word = "wind"

    def words(self) -> str:
        return f"wind {self.direction} in {self.line}"

    def legal(self, scene: Scene) -> bool:
        return (self.line in world.ROWS) == (self.direction in ("left", "right"))

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        return (world.blow(scene, self.line, WINDS[self.direction]),)


@dataclass(frozen=True, slots=True)
class Wait:
    """The operation that lets time pass: plants grow, fire spreads and dies, ice melts."""

    word = "wait"

    def words(self) -> str:
        return "wait"

    def legal(self, scene: Scene) -> bool:
        return True

    def outcomes(self, scene: Scene) -> tuple[Scene, ...]:
        return (world.pass_time(scene),)


Operation = (
    Draw
    | Add
    | AddBeside
    | AddAnywhere
    | Move
    | MoveBeside
    | Swap
    | Remove
    | Paint
    | Mix
    | Gravity
    | Wind
    | Wait
)


def request_words(operations: Sequence[Operation]) -> str:
    """The request in the user's words, e.g. "move the red star to b2 , then gravity"."""
    return " , then ".join(operation.words() for operation in operations)


def outcomes(operations: Sequence[Operation], scene: Scene) -> tuple[Scene, ...]:
    """Every scene that fulfils the request exactly, the default first, without duplicates."""
    scenes: tuple[Scene, ...] = (scene,)
    for operation in operations:
        scenes = tuple(dict.fromkeys(after for before in scenes for after in operation.outcomes(before)))
    return scenes


def apply(operations: Sequence[Operation], scene: Scene, drawn: Scene | None = None) -> Scene:
    """The reference scene after a request.

    With `drawn` (what the model drew) the reference adopts the model's choice of every free placement: the
    correct outcome that differs from `drawn` in the fewest cells, or the default in case of a tie.
    """
    correct = outcomes(operations, scene)
    if drawn is None:
        return correct[0]
    return min(correct, key=lambda after: sum(a != b for a, b in zip(after, drawn, strict=True)))


def steps(operations: Sequence[Operation], scene: Scene) -> list[Scene]:
    """The scene before the request and after each operation (with default placements)."""
    scenes = [scene]
    for operation in operations:
        scenes.append(operation.outcomes(scenes[-1])[0])
    return scenes
