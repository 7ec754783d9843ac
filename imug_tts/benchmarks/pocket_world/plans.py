"""Delta plans: the changes of a request, operation by operation, in the words of the pocket world."""

from __future__ import annotations

from collections.abc import Sequence

from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.operations import (
    AddBeside,
    Gravity,
    Mix,
    Move,
    MoveBeside,
    Operation,
    Paint,
    Remove,
    Swap,
    Wind,
    find,
    steps,
    the,
)
from imug_tts.benchmarks.pocket_world.world import CELLS, NUM_CELLS, SIDE, STATES, Scene


def plan_words(operations: Sequence[Operation], scene: Scene) -> str:
    """The delta plan with one clause per operation, e.g. "move the red star : a1 empty b2 red star"."""
    scenes = steps(operations, scene)
    clauses = (_clause(op, scenes[i], scenes[i + 1]) for i, op in enumerate(operations))
    return " , ".join(clauses)


def _said(scene: Scene, cells: Sequence[int]) -> str:
    return " ".join(f"{CELLS[cell]} {STATES[scene[cell]]}" for cell in cells)


def _clause(operation: Operation, before: Scene, after: Scene) -> str:
    """The clause of an operation: each changed cell with its new content, in steps that need one look each.

    A name comes right before the cell where its thing is found. An anchor is stated with its cell before the
    cell beside it. Wind states its whole line, and gravity each falling column completely from the bottom, so
    that no cell is skipped.
    """
    cells = list(world.changed_cells(before, after))
    match operation:
        case Gravity():
            falling = sorted({cell % SIDE for cell in cells})
            cells = [cell for column in falling for cell in reversed(range(column, NUM_CELLS, SIDE))]
        case Wind(direction=direction, line=line):
            return f"wind {direction} in {line} : {_said(after, world.line_cells(line))}"
        case AddBeside(relation=relation, anchor=anchor):
            return f"add {_beside(before, anchor, relation)} {_said(after, cells)}"
        case MoveBeside(thing=thing, relation=relation, anchor=anchor):
            left = [cell for cell in cells if before[cell] == thing]
            reached = [cell for cell in cells if cell not in left]
            way = _beside(before, anchor, relation)
            return f"move {the(thing)} : {_said(after, left)} ; {way} {_said(after, reached)}"
        case (
            Move(thing=thing)
            | Swap(thing=thing)
            | Remove(thing=thing)
            | Paint(thing=thing)
            | Mix(thing=thing)
        ):
            cells.sort(key=lambda cell: before[cell] != thing)
            return f"{operation.word} {the(thing)} : {_said(after, cells)}"
    return f"{operation.word} {_said(after, cells)}"


def _beside(before: Scene, anchor: int, relation: str) -> str:
    at = find(before, anchor)
    return f"{the(anchor)} : {_said(before, [] if at is None else [at])} ; {relation}"
