"""Exact scores of a pocket-world turn, from what the pictures actually show.

Pictures are parsed cell by cell as the nearest known state (`world.parse`), whatever their size or style. No
picture is rejected, so noise is parsed as a scene that is wrong almost everywhere.

An image turn has three points of 0-5: the change, what stays, nothing spurious. Each point is the share of
its cells that are right, rounded down, so only a completely right picture gets all fives. They are graded
against the *reference*: the dialogue simulated from its first turn, with the model's own choice at each free
placement. Therefore an error of an earlier turn counts again at every later turn. The step score grades the
same points against the model's own previous picture with the requested change: the skill of this turn alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from imug_tts.benchmarks.pocket_world import operations as ops
from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.dialogues import ImageTurn, McqTurn
from imug_tts.benchmarks.pocket_world.world import BLANK, EMPTY, Scene
from imug_tts.contracts import JudgeError, Score
from imug_tts.dialogue import Image
from imug_tts.scoring import mcq

MAX_POINT: Final = 5


@dataclass(frozen=True, slots=True)
class Reference:
    """The scenes before and after the last picture's request, according to the whole dialogue."""

    before: Scene
    after: Scene
    choice_shown: bool
    """Whether a picture so far shows a legal choice of the model at a free placement."""


@lru_cache(maxsize=4096)
def read(image: Image) -> Scene:
    """The scene that a picture shows.

    Raises:
        JudgeError: the bytes are not an image.
    """
    try:
        return world.parse(image.pixels())
    except (OSError, ValueError) as error:
        raise JudgeError(f"image {image.sha256[:12]} cannot be decoded ({error})") from error


def point_texts(request: str, opening: bool) -> tuple[str, str, str]:
    """Return the texts of an image turn's three evaluation points: change, keep and clean.

    The opening turn has no earlier picture to keep, so its second point is about the requested things.
    """
    keep = "What was not asked to change is as it was before."
    everything = "Each thing that was asked for is in the picture, wherever it stands."
    return (
        f"The request is carried out to the letter: {request}",
        everything if opening else keep,
        "Nothing is in the picture that was not asked for.",
    )


def points(before: Scene, after: Scene, drawn: Scene, opening: bool) -> tuple[int, int, int]:
    """The grades (change, keep, clean), each 0-5, of a drawn scene for the change from `before` to `after`.

    A point that no cell is graded by gets full marks, with two exceptions. The opening turn has no earlier
    picture, so its second point is the share of the requested things that are in the picture. An empty
    picture gets 0 for all points unless it is right.
    """
    if drawn == BLANK != after:
        return (0, 0, 0)
    graded = world.grade(before, after, drawn)
    return (graded.change, _presence(after, drawn) if opening else graded.keep, graded.clean)


def _presence(after: Scene, drawn: Scene) -> int:
    asked = Counter(state for state in after if state != EMPTY)
    return MAX_POINT * (asked & Counter(drawn)).total() // asked.total() if asked else MAX_POINT


def follow(turns: Sequence[ImageTurn], drawn: Sequence[Scene]) -> Reference:
    """The reference after simulating the image turns of a dialogue up to the last drawn picture."""
    reference = Reference(BLANK, BLANK, choice_shown=False)
    for turn, picture in zip(turns, drawn, strict=False):
        before = reference.after
        after = ops.apply(turn.operations, before, picture)
        shown = reference.choice_shown or _shows_choice(turn.operations, before, after, picture)
        reference = Reference(before, after, shown)
    return reference


def _shows_choice(request: Sequence[ops.Operation], before: Scene, after: Scene, drawn: Scene) -> bool:
    """Whether the picture is right in every cell on which the free placement of this request has an
    effect.
    """
    others = [operation for operation in request if not isinstance(operation, ops.AddAnywhere)]
    if len(others) == len(request):
        return False
    return all(drawn[cell] == after[cell] for cell in world.changed_cells(ops.apply(others, before), after))


def score_image(turns: Sequence[ImageTurn], drawn: Sequence[Scene]) -> Score:
    """The score of the last picture, given the answers to the first image turns of a dialogue."""
    turn, opening = turns[len(drawn) - 1], len(drawn) == 1
    reference = follow(turns, drawn)
    absolute = points(reference.before, reference.after, drawn[-1], opening)
    own = BLANK if opening else drawn[-2]
    step = points(own, ops.apply(turn.operations, own, drawn[-1]), drawn[-1], opening)
    detail = {
        "points": list(absolute),
        "point_texts": list(point_texts(turn.request, opening)),
        "step_score": _mean(step),
    }
    return Score(value=_mean(absolute), detail=detail)


def _mean(graded: Sequence[int]) -> float:
    return sum(graded) / (MAX_POINT * len(graded))


def expected_letter(question: McqTurn, turns: Sequence[ImageTurn], drawn: Sequence[Scene]) -> str:
    """The right letter, given the pictures drawn before the question; "" if no letter is right.

    A static question has the same answer whatever was drawn. A dynamic one asks what the model chose: the
    last picture decides if it shows the thing exactly once; otherwise the reference does, if an earlier
    picture made a legal choice. If none did, no letter is right and every answer scores 0, as in the official
    rule for undeterminable answers.
    """
    if not question.dynamic:
        return question.gold
    reference = follow(turns, drawn)
    seen = question.mcq.answer(drawn[-1]) if drawn else None
    remembered = question.mcq.answer(reference.after) if reference.choice_shown else None
    return seen or remembered or ""


def score_text(question: McqTurn, expected: str, answer: str, rule: mcq.Rule) -> Score:
    """The score of a multiple-choice answer by both rules; `rule` selects the value."""
    by_rule: dict[str, float] = {name: score(answer, expected) for name, score in mcq.RULES.items()}
    detail = {**by_rule, "expected": expected, "dynamic": question.dynamic}
    return Score(value=by_rule[rule], detail=detail)
