"""Properties of the exact scorer, on generated dialogues with generated mistakes."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imug_tts.benchmarks.pocket_world import operations as ops
from imug_tts.benchmarks.pocket_world import scoring, world
from imug_tts.benchmarks.pocket_world.dialogues import Dialogue, ImageTurn, McqTurn, make_dialogue
from imug_tts.benchmarks.pocket_world.questions import Which
from imug_tts.benchmarks.pocket_world.world import BLANK, EMPTY, NUM_CELLS, STATES, Scene
from imug_tts.contracts import JudgeError
from imug_tts.dialogue import Image

DIALOGUES = [make_dialogue("validation", 3, index) for index in range(150)]
dialogues = st.sampled_from(DIALOGUES)
cells = st.integers(0, NUM_CELLS - 1)
damage = st.dictionaries(cells, st.integers(0, len(STATES) - 1), max_size=6)
few_examples = settings(max_examples=60, deadline=None)


class Played(NamedTuple):
    """A dialogue played without a mistake; `choices[i]` picks among the legal outcomes of image turn i."""

    turns: list[ImageTurn]
    drawn: list[Scene]


def image_turns(dialogue: Dialogue) -> list[ImageTurn]:
    return [turn for turn in dialogue.turns if isinstance(turn, ImageTurn)]


def play(dialogue: Dialogue, choice: int = 0) -> Played:
    """Draw every picture right, with legal outcome number `choice` (modulo their number) at each turn."""
    turns, drawn = image_turns(dialogue), list[Scene]()
    for turn in turns:
        legal = ops.outcomes(turn.operations, drawn[-1] if drawn else BLANK)
        drawn.append(legal[choice % len(legal)])
    return Played(turns, drawn)


def damaged(scene: Scene, changes: dict[int, int]) -> Scene:
    return ops.with_cells(scene, *changes.items())


def damaged_but_not_emptied(scene: Scene, changes: dict[int, int]) -> Scene:
    """As `damaged`, with the first thing of the scene left in its cell."""
    kept = next(cell for cell, state in enumerate(scene) if state != EMPTY)
    return damaged(scene, {cell: state for cell, state in changes.items() if cell != kept})


def is_free(turn: ImageTurn) -> bool:
    return any(isinstance(operation, ops.AddAnywhere) for operation in turn.operations)


# A dialogue and the 1-based number of an image turn that has only one right picture.
fixed_turns = [
    (dialogue, number)
    for dialogue in DIALOGUES
    for number, turn in enumerate(image_turns(dialogue), 1)
    if not is_free(turn)
]
later_fixed_turns = [
    (dialogue, number)
    for dialogue, number in fixed_turns
    if number > 1 and play(dialogue).drawn[number - 1] != BLANK
]
long_dialogues = [dialogue for dialogue in DIALOGUES if len(image_turns(dialogue)) > 1]


def points(turns: list[ImageTurn], drawn: list[Scene]) -> list[int]:
    graded: list[int] = scoring.score_image(turns, drawn).detail["points"]
    return graded


def image(scene: Scene, times: int = 1) -> Image:
    return Image.from_pixels(world.render(scene).repeat(times, axis=0).repeat(times, axis=1))


@few_examples
@given(dialogues, st.integers(0, 15))
def test_every_legal_choice_is_wholly_right(dialogue: Dialogue, choice: int) -> None:
    turns, drawn = play(dialogue, choice)
    for count in range(1, len(drawn) + 1):
        scored = scoring.score_image(turns, drawn[:count])
        assert scored.value == scored.detail["step_score"] == 1.0
        assert scored.detail["points"] == [5, 5, 5]


@few_examples
@given(dialogues, st.integers(0, 15))
def test_dynamic_answers_follow_the_choice_that_was_drawn(dialogue: Dialogue, choice: int) -> None:
    turns = image_turns(dialogue)
    for number, turn in enumerate(dialogue.turns):
        if isinstance(turn, McqTurn):
            before = pictures_before(dialogue, number, choice)
            expected = scoring.expected_letter(turn, turns, before)
            assert expected == turn.mcq.answer(before[-1])
            assert expected == turn.gold or turn.dynamic
            assert scoring.score_text(turn, expected, expected, "official").value == 1.0


@few_examples
@given(st.sampled_from(fixed_turns), damage)
def test_only_the_right_picture_gets_all_fives(
    fixed_turn: tuple[Dialogue, int], changes: dict[int, int]
) -> None:
    dialogue, count = fixed_turn
    turns, drawn = play(dialogue)
    picture = damaged(drawn[count - 1], changes)
    graded = points(turns, [*drawn[: count - 1], picture])
    assert all(0 <= point <= 5 for point in graded)
    assert (graded == [5, 5, 5]) == (picture == drawn[count - 1])


@few_examples
@given(st.sampled_from(later_fixed_turns), damage, cells)
def test_mending_a_cell_never_costs(
    fixed_turn: tuple[Dialogue, int], changes: dict[int, int], cell: int
) -> None:
    dialogue, count = fixed_turn
    turns, drawn = play(dialogue)
    right = drawn[count - 1]
    wrong = damaged_but_not_emptied(right, changes)
    mended = damaged(wrong, {cell: right[cell]})
    earlier = drawn[: count - 1]
    before, after = points(turns, [*earlier, wrong]), points(turns, [*earlier, mended])
    assert all(better >= worse for better, worse in zip(after, before, strict=True))


@few_examples
@given(dialogues, st.integers(0, 15))
def test_a_copy_of_the_previous_picture_gets_nothing_for_the_change(dialogue: Dialogue, choice: int) -> None:
    turns, drawn = play(dialogue, choice)
    for count in range(2, len(drawn) + 1):
        if drawn[count - 1] != drawn[count - 2]:
            copied = [*drawn[: count - 1], drawn[count - 2]]
            assert points(turns, copied) == [0, 5, 5]
            assert scoring.score_image(turns, copied).detail["step_score"] == pytest.approx(2 / 3)


@few_examples
@given(st.sampled_from(long_dialogues), damage, st.integers(0, 15))
def test_inherited_damage_counts_in_the_score_and_not_in_the_step(
    dialogue: Dialogue, changes: dict[int, int], choice: int
) -> None:
    turns, drawn = play(dialogue, choice)
    broken = damaged_but_not_emptied(drawn[0], changes)
    legal = ops.outcomes(turns[1].operations, broken)
    faithful = [broken, legal[choice % len(legal)]]
    scored = scoring.score_image(turns, faithful)
    assert scored.detail["step_score"] == 1.0
    assert (scored.value == 1.0) == (faithful[1] == scoring.follow(turns, faithful).after)


@few_examples
@given(dialogues)
def test_an_empty_picture_gets_nothing(dialogue: Dialogue) -> None:
    turns, drawn = play(dialogue)
    for count in range(1, len(drawn) + 1):
        if drawn[count - 1] != BLANK:
            assert points(turns, [*drawn[: count - 1], BLANK]) == [0, 0, 0]


def test_pixels_that_show_nothing_score_near_zero() -> None:
    noise = np.random.default_rng(0)
    pictures = {
        "white": np.full((64, 64, 3), 255, np.uint8),
        "black": np.zeros((64, 64, 3), np.uint8),
        "one pixel": np.full((1, 1, 3), 90, np.uint8),
        "noise": noise.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        "wide noise": noise.integers(0, 256, (70, 333, 3), dtype=np.uint8),
    }
    for name, pixels in pictures.items():
        drawn = scoring.read(Image.from_pixels(pixels))
        scores = [scoring.score_image(image_turns(d), [drawn]).value for d in DIALOGUES]
        assert np.mean(scores) < 0.1, name
        assert max(scores) <= 0.4, name


@pytest.mark.parametrize("times", [1, 2, 8])
def test_larger_pictures_of_the_same_scene_read_the_same(times: int) -> None:
    for dialogue in DIALOGUES[:20]:
        for scene in play(dialogue).drawn:
            assert scoring.read(image(scene, times)) == scene


def test_noisy_pictures_read_as_what_they_show() -> None:
    noise = np.random.default_rng(1)
    for dialogue in DIALOGUES[:20]:
        scene = play(dialogue).drawn[-1]
        pixels = world.render(scene) + noise.normal(0, 25, (64, 64, 3))
        assert scoring.read(Image.from_pixels(pixels.clip(0, 255).astype(np.uint8))) == scene


def test_bytes_that_are_no_image_cannot_be_read() -> None:
    with pytest.raises(JudgeError, match="cannot be decoded"):
        scoring.read(Image.from_bytes(b"\x89PNG but not really"))


def test_the_opening_turn_has_nothing_to_keep_and_asks_for_all_things_instead() -> None:
    turns, drawn = play(DIALOGUES[0])
    things = [cell for cell, state in enumerate(drawn[0]) if state != world.EMPTY]
    without = damaged(drawn[0], {things[0]: world.EMPTY})
    change, presence, clean = points(turns, [without])
    assert change < 5
    assert presence == 5 * (len(things) - 1) // len(things)
    assert clean == 5
    assert scoring.point_texts("draw", opening=True) != scoring.point_texts("draw", opening=False)


def dynamic_case() -> tuple[McqTurn, Played]:
    """A dynamic question that follows at once on its free placement, and the pictures before it."""
    for dialogue in DIALOGUES:
        for number, (placed, turn) in enumerate(pairwise(dialogue.turns), start=1):
            follows = isinstance(placed, ImageTurn) and is_free(placed)
            if isinstance(turn, McqTurn) and turn.dynamic and follows:
                return turn, Played(image_turns(dialogue), pictures_before(dialogue, number))
    raise AssertionError("no such dialogue")


def pictures_before(dialogue: Dialogue, number: int, choice: int = 0) -> list[Scene]:
    """What `play` draws at the first `number` turns."""
    return play(dialogue, choice).drawn[: sum(isinstance(t, ImageTurn) for t in dialogue.turns[:number])]


def test_no_letter_is_right_when_no_choice_was_drawn() -> None:
    question, (turns, drawn) = dynamic_case()
    assert isinstance(question.mcq.question, Which)
    thing = question.mcq.question.thing
    without = tuple(world.EMPTY if state == thing else state for state in drawn[-1])
    expected = scoring.expected_letter(question, turns, [*drawn[:-1], without])
    assert expected == ""
    for letter in "ABCD":
        assert scoring.score_text(question, expected, letter, "official").value == 0.0


def test_a_thing_that_was_placed_and_lost_is_remembered() -> None:
    question, (turns, drawn) = dynamic_case()
    assert scoring.expected_letter(question, turns, drawn) == question.gold
    fallen = world.fall(drawn[-1])
    gravity = ImageTurn("gravity", (ops.Gravity(),), drawn[-1], fallen)
    longer = [*turns[: len(drawn)], gravity]
    assert scoring.expected_letter(question, longer, [*drawn, BLANK]) == question.mcq.answer(fallen)
