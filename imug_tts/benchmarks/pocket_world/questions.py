"""Multiple-choice questions about a scene. Each question computes its own answer on any scene.

A *dynamic* question asks what the model itself chose: its right letter is known only after the model has
drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.operations import AddAnywhere, named_once
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.benchmarks.pocket_world.world import CELL_OF, CELLS, EMPTY, STATES, Scene

LETTERS: Final = "ABCD"


@dataclass(frozen=True, slots=True)
class What:
    """A question for the content of a cell."""

    cell: int

    def words(self) -> str:
        return f"what is at {CELLS[self.cell]} ?"

    def truth(self, scene: Scene) -> str | None:
        """The true value on a scene."""
        return STATES[scene[self.cell]]


@dataclass(frozen=True, slots=True)
class Where:
    """A question for the cell of a thing."""

    thing: int

    def words(self) -> str:
        return f"where is the {STATES[self.thing]} ?"

    def truth(self, scene: Scene) -> str | None:
        """The true value on a scene; None if the question has no answer there."""
        return CELLS[scene.index(self.thing)] if named_once(scene, self.thing) else None


@dataclass(frozen=True, slots=True)
class Which:
    """A question for the row or column of a thing."""

    thing: int
    axis: str

    def words(self) -> str:
        return f"which {self.axis} is the {STATES[self.thing]} in ?"

    def truth(self, scene: Scene) -> str | None:
        """The true value on a scene; None if the question has no answer there."""
        if not named_once(scene, self.thing):
            return None
        row, column = divmod(scene.index(self.thing), world.SIDE)
        return world.ROWS[row] if self.axis == "row" else world.COLUMNS[column]


Question = What | Where | Which


@dataclass(frozen=True, slots=True)
class Mcq:
    """A question with four options in the order of their letters."""

    question: Question
    options: tuple[str, ...]

    def words(self) -> str:
        """The question and its options, e.g. "what is at b2 ? A ash B empty C ice D red star"."""
        listed = " ".join(f"{letter} {value}" for letter, value in zip(LETTERS, self.options, strict=True))
        return f"{self.question.words()} {listed}"

    def answer(self, scene: Scene) -> str | None:
        """The right letter on a scene; None if no option is right."""
        value = self.question.truth(scene)
        return LETTERS[self.options.index(value)] if value in self.options else None


def _shuffled(truth: str, wrong: Sequence[str], stream: Stream) -> tuple[str, ...]:
    """Four options in random order: the truth and three wrong values."""
    others = stream.sample([value for value in dict.fromkeys(wrong) if value != truth], len(LETTERS) - 1)
    return tuple(stream.sample([truth, *others], len(LETTERS)))


def static_mcq(possible: Sequence[Scene], stream: Stream) -> Mcq | None:
    """A random question; None if its answer is not the same in every possible scene."""
    scene = possible[0]
    occupied = [cell for cell in CELLS if scene[CELL_OF[cell]] != EMPTY]
    question: Question
    if stream.chance(0.5):
        cell = stream.choice(occupied) if stream.chance(0.75) else stream.choice(CELLS)
        question, wrong = What(CELL_OF[cell]), [STATES[state] for state in stream.sample(scene, len(scene))]
        wrong += [STATES[state] for state in stream.sample(range(len(STATES)), 4)]
    else:
        question, wrong = Where(scene[CELL_OF[stream.choice(occupied)]]), list(CELLS)
    truths = {question.truth(other) for other in possible}
    truth = truths.pop()
    if truth is None or truths:
        return None
    return Mcq(question=question, options=_shuffled(truth, wrong, stream))


def dynamic_mcq(placement: AddAnywhere, possible: Sequence[Scene], stream: Stream) -> Mcq | None:
    """A question for the place of a freely placed thing; None if the thing is gone or its place is
    determined.
    """
    axes = ["row", "column"]
    for axis in stream.sample(axes, 2):
        question = Which(placement.thing, axis)
        truths = {question.truth(scene) for scene in possible}
        if None not in truths and len(truths) > 1:
            lines = world.ROWS if axis == "row" else world.COLUMNS
            return Mcq(question=question, options=tuple(stream.sample(lines, len(lines))))
    return None
