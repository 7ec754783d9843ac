"""Training rows: each row is a dialogue as a tree of tokens.

The trunk is the history: requests and pictures. Branches for plans, pictures, checks and questions start at
the trunk and attend only to their ancestors. So one row trains many continuations of one history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imug_tts.backbones.pocket import layout
from imug_tts.backbones.pocket.image_tokenizer import ImageTokenizer
from imug_tts.backbones.pocket.vocabulary import BOS, Vocabulary
from imug_tts.benchmarks.pocket_world import operations, questions, world
from imug_tts.benchmarks.pocket_world.dialogues import Dialogue, ImageTurn, McqTurn, Turn, make_exercise
from imug_tts.benchmarks.pocket_world.operations import Operation
from imug_tts.benchmarks.pocket_world.plans import plan_words
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.benchmarks.pocket_world.world import EMPTY, Scene

ROW_TOKENS, MAX_SEGMENTS = 384, 64
NO_TARGET = -1
CANDIDATES = 2
"""Pictures that are checked in one branch of checks."""


class Kind(IntEnum):
    """What a target token is. CHOSEN and REJECTED tokens belong to a comparison; the preference loss uses
    them, not the cross-entropy.
    """

    IMAGE, PLAN, MARK, VALUE, LETTER, CHOSEN, REJECTED = range(7)


WEIGHTS = {
    Kind.IMAGE: 1.0,
    Kind.PLAN: 1.0,
    Kind.MARK: 0.5,
    Kind.VALUE: 2.0,
    Kind.LETTER: 4.0,
    Kind.CHOSEN: 0.0,
    Kind.REJECTED: 0.0,
}
"""Weight of a target's cross-entropy, by the kind of the target."""


class Goal(NamedTuple):
    """The target of one token; `pair` numbers the comparison that it belongs to, from 1 (0: none)."""

    target: int
    kind: Kind = Kind.IMAGE
    pair: int = 0


@dataclass(frozen=True)
class Language:
    """Words and image codes of the pocket world.

    Scenes map to codes directly, without rendering, because the tokenizer reads every cell state exactly.
    """

    vocabulary: Vocabulary
    code_of: tuple[int, ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary, tokenizer: ImageTokenizer) -> Language:
        """Return the language of a tokenizer; the code of each cell state is found by rendering the state."""
        half = world.NUM_CELLS
        scenes = [tuple(range(start, start + half)) for start in range(0, len(world.STATES), half)]
        return cls(
            vocabulary, tuple(code for scene in scenes for code in tokenizer.encode(world.render(scene)))
        )

    @property
    def shown(self) -> dict[str, int]:
        """The code of each cell state, by the word that names the state."""
        return dict(zip(world.STATES, self.code_of, strict=True))

    def codes(self, scene: Scene) -> list[int]:
        """Return the codes of a scene, in the order of cells."""
        return [self.code_of[state] for state in scene]

    def scene(self, codes: Sequence[int]) -> Scene:
        """Return the scene that a picture's codes show."""
        return tuple(self.code_of.index(code) for code in codes)


@dataclass
class Row:
    """One training row. All fields are (tokens,), except `ancestors`, which is (segments, segments)."""

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    segments: NDArray[np.int64]
    targets: NDArray[np.int64]
    kinds: NDArray[np.int64]
    pairs: NDArray[np.int64]
    ancestors: NDArray[np.bool_]


@dataclass
class TreeWriter:
    """Builds a row segment by segment. Ask `room` before `add`: `add` does not check that a segment fits."""

    limit: int = ROW_TOKENS
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    lineages: list[frozenset[int]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def room(self, count: int) -> bool:
        """Return whether `count` more tokens fit into the row."""
        return len(self.ids) + count <= self.limit and len(self.lineages) < MAX_SEGMENTS - 2

    def add(self, parent: int | None, ids: Sequence[int], goals: Sequence[Goal] = ()) -> int:
        """Append a segment whose parent is `parent`; return the number of the segment.

        Args:
            goals: the targets of the last tokens of the segment; the tokens before them have no target.
        """
        number, start = len(self.lineages), 0 if parent is None else self.ends[parent]
        self.lineages.append(
            frozenset({number}) | (self.lineages[parent] if parent is not None else frozenset())
        )
        self.ends.append(start + len(ids))
        self.goals += [Goal(NO_TARGET)] * (len(ids) - len(goals)) + list(goals)
        self.ids += ids
        self.positions += range(start, start + len(ids))
        self.segments += [number] * len(ids)
        return number

    def row(self) -> Row:
        """Return the finished row, padded to `limit` tokens. The padding is a segment without targets."""
        gap = self.limit - len(self.ids)
        goals = self.goals + [Goal(NO_TARGET)] * gap
        ancestors = np.zeros((MAX_SEGMENTS, MAX_SEGMENTS), np.bool_)
        for number, lineage in enumerate(self.lineages):
            ancestors[number, list(lineage)] = True
        ancestors[-1, -1] = True
        return Row(
            ids=np.array(self.ids + [0] * gap),
            positions=np.array(self.positions + list(range(gap))),
            segments=np.array(self.segments + [MAX_SEGMENTS - 1] * gap),
            targets=np.array([goal.target for goal in goals]),
            kinds=np.array([goal.kind for goal in goals]),
            pairs=np.array([goal.pair for goal in goals]),
            ancestors=ancestors,
        )


def stack(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """Stack rows to a batch: each field gets a leading axis of rows."""
    return {f.name: np.stack([getattr(row, f.name) for row in rows]) for f in fields(Row)}


def next_goals(ids: Sequence[int], kind: Kind, pair: int = 0) -> list[Goal]:
    """Return the targets of next-token prediction: the next token for each token, none for the last."""
    return [*(Goal(target, kind, pair) for target in ids[1:]), Goal(NO_TARGET)]


def add_picture(
    writer: TreeWriter, language: Language, parent: int, scene: Scene, kind: Kind | None, pair: int = 0
) -> int:
    """Append a picture after `parent` and return its segment.

    Args:
        kind: the kind of the picture's targets; None for a picture that is only input.
        pair: the number of the comparison that the picture belongs to; 0 for none.
    """
    ids = layout.image(language.vocabulary, language.codes(scene))
    return writer.add(parent, ids, () if kind is None else next_goals(ids, kind, pair))


def add_target(writer: TreeWriter, language: Language, asked: int, scene: Scene) -> None:
    """Append the target picture of a turn whose picture in the history is another one, if there is room."""
    if writer.room(world.NUM_CELLS + 1):
        add_picture(writer, language, asked, scene, Kind.IMAGE)


def add_plan(writer: TreeWriter, language: Language, asked: int, turn: ImageTurn) -> None:
    """Append the gold plan of a turn and, after the plan, the gold picture, if there is room."""
    ids = encoded_plan(language, turn)
    if writer.room(_with_picture(ids)):
        planned = writer.add(asked, ids, next_goals(ids, Kind.PLAN))
        add_picture(writer, language, planned, turn.gold, Kind.IMAGE)


def _with_picture(ids: Sequence[int]) -> int:
    return len(ids) + world.NUM_CELLS + 1


def add_check(
    writer: TreeWriter, language: Language, opening: int, scene: Scene, right: Sequence[bool]
) -> None:
    """Append a picture to check and its marks, one for each cell, after the segment that opens the check."""
    yes, no = language.vocabulary.id_of["yes"], language.vocabulary.id_of["no"]
    goals = [Goal(yes if cell else no, Kind.MARK) for cell in right]
    writer.add(opening, layout.marked(language.vocabulary, language.codes(scene)), goals)


def add_checks(
    writer: TreeWriter, language: Language, asked: int, turn: ImageTurn, drawn: Scene, stream: Stream
) -> None:
    """Append checks of `CANDIDATES` pictures after one opening segment, if there is room.

    The picture `drawn` of the history is one of them, unless it is the gold picture.
    """
    size = _with_picture(encoded_plan(language, turn))
    if not writer.room(size + CANDIDATES * (2 * world.NUM_CELLS + 1)):
        return
    words = plan_words(turn.operations, turn.gold_before) if stream.chance(0.85) else None
    opening = writer.add(asked, layout.check(language.vocabulary, words))
    own = [] if drawn == turn.gold else [drawn]
    for scene in [*own, *(_candidate(turn, stream) for _ in range(CANDIDATES - len(own)))]:
        add_check(writer, language, opening, scene, marks(turn.operations, turn.gold_before, scene))


def add_question(writer: TreeWriter, language: Language, drawn: int, mcq: questions.Mcq, letter: str) -> None:
    """Append a question after the segment `drawn` of a picture, with its answer, if there is room.

    The answer is the value first, then the letter of the option.
    """
    if not writer.room(16):
        return
    ids = layout.question(language.vocabulary, mcq.words())
    value = language.vocabulary.encode(mcq.options[questions.LETTERS.index(letter)])
    answer = language.vocabulary.encode(letter)
    writer.add(drawn, [*ids, *value], [Goal(value[0], Kind.VALUE), Goal(answer[0], Kind.LETTER)])


def add_exercise(writer: TreeWriter, language: Language, drawn: int, scene: Scene, stream: Stream) -> None:
    """Append a new request of one operation after the segment `drawn` of a picture, and its plan, if there is
    room.
    """
    turn = make_exercise(scene, stream)
    if turn is None:
        return
    asked, ids = layout.request(language.vocabulary, turn.request), encoded_plan(language, turn)
    if writer.room(len(asked) + len(ids)):
        writer.add(drawn, [*asked, *ids], next_goals(ids, Kind.PLAN))


def encoded_plan(language: Language, turn: ImageTurn) -> list[int]:
    """Return the tokens of a turn's gold plan."""
    return layout.plan(language.vocabulary, plan_words(turn.operations, turn.gold_before))


def marks(turn_operations: Sequence[Operation], before: Scene, drawn: Scene) -> list[bool]:
    """Return for each cell whether the picture `drawn` follows the request, applied to the picture `before`.

    Where the request leaves a placement free, the placement of `drawn` is right.
    """
    reference = operations.apply(turn_operations, before, drawn)
    return [a == b for a, b in zip(reference, drawn, strict=True)]


def _variant(operation: Operation, scene: Scene, stream: Stream) -> Operation:
    """Return the operation with one argument changed, as a model may misread it."""
    present = [state for state in scene if state != EMPTY] or [1]
    others: dict[str, Callable[[], object]] = {
        "thing": lambda: stream.choice(present),
        "other": lambda: stream.choice(present),
        "anchor": lambda: stream.choice(present),
        "cell": lambda: stream.below(world.NUM_CELLS),
        "colour": lambda: stream.choice(world.COLOURS),
        "relation": lambda: stream.choice(tuple(operations.RELATIONS)),
        "direction": lambda: "left" if getattr(operation, "line", "") in world.ROWS else "up",
        "line": lambda: stream.choice(
            world.ROWS if getattr(operation, "line", "") in world.ROWS else world.COLUMNS
        ),
    }
    names = [name for name in (f.name for f in fields(operation)) if name in others]
    if not names or isinstance(operation, operations.Draw | operations.Paint | operations.Mix):
        return operations.Gravity() if stream.chance(0.5) else operations.Wait()
    name = stream.choice(names)
    changes: Any = {name: others[name]()}
    return replace(operation, **changes)


def _edited(scene: Scene, stream: Stream) -> Scene:
    """Return the scene with one or two cells changed: emptied, a copy of another cell, or any state."""
    cells = list(scene)
    for cell in stream.sample(range(world.NUM_CELLS), 1 + stream.below(2)):
        kind = stream.below(3)
        cells[cell] = (
            EMPTY if kind == 0 else stream.choice(scene) if kind == 1 else stream.below(len(world.STATES))
        )
    return tuple(cells)


def corrupted(turn: ImageTurn, stream: Stream) -> Scene:
    """Return a picture of the turn that is probably wrong.

    It is the previous picture, the result with one operation skipped or replaced, or the gold picture with
    edited cells.
    """
    kind = stream.uniform()
    if kind < 0.12 and turn.gold_before != world.BLANK:
        return turn.gold_before
    if kind < 0.55:
        listed = list(turn.operations)
        at = stream.below(len(listed))
        scene = operations.steps(listed[:at], turn.gold_before)[-1]
        listed[at : at + 1] = [] if stream.chance(0.4) else [_variant(listed[at], scene, stream)]
        return operations.outcomes(listed, turn.gold_before)[0]
    return _edited(turn.gold, stream)


def _candidate(turn: ImageTurn, stream: Stream) -> Scene:
    """Return a picture to check: with probability 0.4 a right picture, else a corrupted one."""
    right = operations.outcomes(turn.operations, turn.gold_before)
    return stream.choice(right) if stream.chance(0.4) else corrupted(turn, stream)


def dialogue_row(
    language: Language,
    turns: Sequence[Turn],
    pictures: Sequence[Scene],
    stream: Stream,
    *,
    with_plans: bool = True,
) -> Row:
    """Return a row with the trunk of a dialogue and as many branches as fit.

    Branches are added in this order: target pictures, plans in random order, then all others in random order.
    The trunk holds `pictures`, one for each image turn. A picture that equals the `gold` of its turn is
    itself a target. Any other picture is input only; its turn's `gold` is then a target on a branch.

    Args:
        with_plans: whether the plans of the dialogue's own requests are among the branches.
    """
    writer, shown = TreeWriter(), iter(pictures)
    targets, plans, others = (
        list[Callable[[], object]](),
        list[Callable[[], object]](),
        list[Callable[[], object]](),
    )
    parent, picture = writer.add(None, [BOS]), world.BLANK
    for each in turns:
        if isinstance(each, McqTurn):
            letter = each.mcq.answer(picture)
            if letter is not None:
                others.append(partial(add_question, writer, language, parent, each.mcq, letter))
            continue
        picture = next(shown)
        asked = writer.add(parent, layout.request(language.vocabulary, each.request))
        parent = add_picture(writer, language, asked, picture, Kind.IMAGE if picture == each.gold else None)
        if picture != each.gold:
            targets.append(partial(add_target, writer, language, asked, each.gold))
        if with_plans:
            plans.append(partial(add_plan, writer, language, asked, each))
        others.append(partial(add_checks, writer, language, asked, each, picture, stream))
        if set(picture) <= {EMPTY} or EMPTY not in picture:
            continue  # an untrained model's picture: nothing to ask about, or no room to change
        mcq = questions.static_mcq([picture], stream)
        letter = None if mcq is None else mcq.answer(picture)
        if mcq is not None and letter is not None:
            others.append(partial(add_question, writer, language, parent, mcq, letter))
        others.append(partial(add_exercise, writer, language, parent, picture, stream))
    for add in [*targets, *stream.sample(plans, len(plans)), *stream.sample(others, len(others))]:
        add()
    return writer.row()


def gold_row(language: Language, dialogue: Dialogue, stream: Stream, *, with_plans: bool = True) -> Row:
    """Return the row of a dialogue with gold pictures as history."""
    pictures = [turn.gold for turn in dialogue.turns if isinstance(turn, ImageTurn)]
    return dialogue_row(language, dialogue.turns, pictures, stream, with_plans=with_plans)
