"""The procedural generator: a dialogue is a function of (split, seed, index) only.

Every request is legal whatever the model chose at earlier free placements: the generator tracks all possible
scenes and uses an operation only if it is legal in each of them. Training and test dialogues use random
streams with different names, so they are disjoint by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from imug_tts.benchmarks.pocket_world import operations as ops
from imug_tts.benchmarks.pocket_world import questions, world
from imug_tts.benchmarks.pocket_world.operations import Operation
from imug_tts.benchmarks.pocket_world.questions import Mcq
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.benchmarks.pocket_world.tasks import CAUSAL, TASKS, Kind, Task, TaskClass
from imug_tts.benchmarks.pocket_world.world import EMPTY, STATE_OF, Scene

Split = Literal["train", "validation", "test"]
TURN_COUNTS: Final = {2: 0.1, 3: 0.15, 4: 0.2, 5: 0.25, 6: 0.3}
OPERATION_COUNTS: Final = {2: 0.3, 3: 0.4, 4: 0.3}
FIRST_OPERATION_COUNTS: Final = {0: 0.4, 1: 0.6}
MIN_THINGS, MAX_THINGS = 5, 8
_TRIES: Final = 24


@dataclass(frozen=True, slots=True)
class ImageTurn:
    """A turn that draws or edits the picture. `gold_before` and `gold` are the scenes with default free
    placements.
    """

    request: str
    operations: tuple[Operation, ...]
    gold_before: Scene
    gold: Scene


@dataclass(frozen=True, slots=True)
class McqTurn:
    """A turn that asks for one letter. A dynamic question asks about the model's own earlier choice.

    `gold` is the letter for the gold scene; `mcq.answer(scene)` is the letter for any other scene.
    """

    request: str
    mcq: Mcq
    dynamic: bool
    gold: str


Turn = ImageTurn | McqTurn


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One multi-turn dialogue of the pocket world; its first turn draws a picture."""

    split: Split
    seed: int
    index: int
    task: str
    task_class: TaskClass
    turns: tuple[Turn, ...]


class _Author:
    """Writes one dialogue turn by turn; `possible` holds every scene the model may be in, the gold scene
    first.
    """

    def __init__(self, task: Task, stream: Stream) -> None:
        self.task, self.stream = task, stream
        self.possible: tuple[Scene, ...] = (world.BLANK,)
        self.placement: ops.AddAnywhere | None = None

    def thing(self) -> int:
        """A random thing of the task's families."""
        family = self.stream.weighted(self.task.things)
        return (
            STATE_OF[family]
            if family in STATE_OF
            else STATE_OF[f"{self.stream.choice(world.COLOURS)} {family}"]
        )

    def drawing(self) -> ops.Draw:
        """A first picture of different things."""
        count = MIN_THINGS + self.stream.below(3)
        things: dict[int, None] = {}
        while len(things) < count:
            things[self.thing()] = None
        cells = self.stream.sample(range(world.NUM_CELLS), count)
        return ops.Draw(tuple(zip(things, cells, strict=True)))

    def proposal(self, kind: Kind, scene: Scene) -> Operation | None:
        """An operation of that kind with random arguments, possibly illegal; None if the scene allows
        none.
        """
        pick = self.stream.choice
        present = [state for state in scene if state != EMPTY]
        shapes = [state for state in present if world.is_shape(state)]
        free = [cell for cell, state in enumerate(scene) if state == EMPTY]
        if kind in ("paint", "mix") and not shapes:
            return None
        if kind in ("add", "add_beside", "add_anywhere") and len(present) >= MAX_THINGS:
            return None
        if kind == "remove" and len(present) <= MIN_THINGS - 1:
            return None
        match kind:
            case "add":
                return ops.Add(self.thing(), pick(free))
            case "add_beside":
                return ops.AddBeside(self.thing(), pick(tuple(ops.RELATIONS)), pick(present))
            case "add_anywhere":
                return self.free_placement(free)
            case "move":
                return ops.Move(pick(present), pick(free))
            case "move_beside":
                return ops.MoveBeside(pick(present), pick(tuple(ops.RELATIONS)), pick(present))
            case "swap":
                return ops.Swap(pick(present), pick(present))
            case "remove":
                return ops.Remove(pick(present))
            case "paint":
                return ops.Paint(pick(shapes), pick(world.COLOURS))
            case "mix":
                return ops.Mix(pick(world.PRIMARY), pick(shapes))
            case "gravity":
                return ops.Gravity()
            case "wind":
                line = pick(world.LINES)
                return ops.Wind(pick(("left", "right") if line in world.ROWS else ("up", "down")), line)
            case "wait":
                return ops.Wait()

    def free_placement(self, free: list[int]) -> ops.AddAnywhere | None:
        """A free placement, or None: at most one per dialogue, which limits the number of possible scenes."""
        if self.placement is not None:
            return None
        line = self.stream.choice(world.LINES) if self.stream.chance(0.7) else None
        cells = free if line is None else [cell for cell in world.line_cells(line) if cell in free]
        return ops.AddAnywhere(self.thing(), line, self.stream.choice(cells)) if cells else None

    def operation(
        self, possible: tuple[Scene, ...], causal: bool | None, last_resort: bool
    ) -> Operation | None:
        """An operation that is legal in every possible scene and changes the gold scene; None if none was
        found.
        """
        kinds = {k: w for k, w in self.task.kinds.items() if causal is None or (k in CAUSAL) == causal}
        if last_resort:
            kinds = {"swap": 1.0} if self.task.task_class == "static_spatial" else {"wind": 1.0}
        for _ in range(_TRIES):
            proposed = self.proposal(self.stream.weighted(kinds), possible[0])
            if proposed is None or not all(proposed.legal(scene) for scene in possible):
                continue
            if proposed.outcomes(possible[0])[0] != possible[0]:
                return proposed
        return None

    def image_turn(self, first: bool) -> ImageTurn:
        """A request of several operations; hybrid tasks alternate spatial and causal operations."""
        before, possible = self.possible[0], self.possible
        chosen: list[Operation] = []
        if first:
            chosen.append(self.drawing())
            possible = ops.outcomes(chosen, before)
        count = len(chosen) + self.stream.weighted(FIRST_OPERATION_COUNTS if first else OPERATION_COUNTS)
        hybrid, causal_next = self.task.task_class == "hybrid", self.stream.chance(0.3)
        for attempt in range(_TRIES):
            if len(chosen) >= count and possible[0] != before:
                break
            operation = self.operation(
                possible, causal_next if hybrid else None, last_resort=attempt >= _TRIES // 2
            )
            if operation is not None:
                chosen.append(operation)
                possible = _follow(operation, possible)
                self.placement = operation if isinstance(operation, ops.AddAnywhere) else self.placement
            causal_next = not causal_next
        self.possible = possible
        return ImageTurn(ops.request_words(chosen), tuple(chosen), before, possible[0])

    def mcq_turn(self, dynamic: bool) -> McqTurn | None:
        """A question, or None if no question of the requested kind fits."""
        mcq: Mcq | None = None
        if dynamic and self.placement is not None:
            mcq = questions.dynamic_mcq(self.placement, self.possible, self.stream)
        elif not dynamic:
            mcq = questions.static_mcq(self.possible, self.stream)
        gold = None if mcq is None else mcq.answer(self.possible[0])
        return None if mcq is None or gold is None else McqTurn(mcq.words(), mcq, dynamic, gold)


def _follow(operation: Operation, possible: tuple[Scene, ...]) -> tuple[Scene, ...]:
    """Every scene to which the operation can lead from any possible scene, the gold scene first."""
    return tuple(dict.fromkeys(after for before in possible for after in operation.outcomes(before)))


def make_dialogue(split: Split, seed: int, index: int) -> Dialogue:
    """Dialogue `index` of a split. Tasks alternate, so any 15 consecutive indices contain each task once."""
    stream, task = Stream("pocket_world", split, seed, index), TASKS[index % len(TASKS)]
    author, turns = _Author(task, stream), list[Turn]()
    wanted, asked = stream.weighted(TURN_COUNTS), False
    while len(turns) < wanted:
        turn: Turn | None = None
        if turns and isinstance(turns[-1], ImageTurn):
            if author.placement is not None and not asked and stream.chance(0.75):
                turn = author.mcq_turn(dynamic=True)
                asked = turn is not None
            elif stream.chance(0.2):
                turn = author.mcq_turn(dynamic=False)
        turns.append(turn or author.image_turn(first=not turns))
    return Dialogue(split, seed, index, task.name, task.task_class, tuple(turns))


def make_exercise(scene: Scene, stream: Stream) -> ImageTurn | None:
    """A request of one operation, from a random task, for a given picture; None if the task has no fitting
    operation.
    """
    author = _Author(stream.choice(TASKS), stream)
    operation = author.operation((scene,), None, last_resort=False)
    if operation is None:
        return None
    return ImageTurn(ops.request_words([operation]), (operation,), scene, operation.outcomes(scene)[0])
