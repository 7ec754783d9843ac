"""Operations: their words, their outcomes, free placements, plans."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from imug_tts.benchmarks.pocket_world import operations as ops
from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.dialogues import ImageTurn, make_dialogue
from imug_tts.benchmarks.pocket_world.plans import plan_words
from imug_tts.benchmarks.pocket_world.world import CELL_OF, STATE_OF, Scene
from tests.benchmarks.pocket_scenes import scene_of, scenes

STAR, CIRCLE, ASH = STATE_OF["red star"], STATE_OF["blue circle"], STATE_OF["ash"]
turns = st.integers(0, 2000).map(
    lambda index: [
        turn for turn in make_dialogue("validation", 9, index).turns if isinstance(turn, ImageTurn)
    ]
)


def test_operations_do_what_they_say() -> None:
    before = scene_of(a1="red star", b1="blue circle")
    wanted: dict[ops.Operation, tuple[str, Scene]] = {
        ops.Add(ASH, CELL_OF["d4"]): (
            "add an ash at d4",
            scene_of(a1="red star", b1="blue circle", d4="ash"),
        ),
        ops.AddBeside(ASH, "below", STAR): (
            "add an ash below the red star",
            scene_of(a1="red star", b1="blue circle", a2="ash"),
        ),
        ops.Move(STAR, CELL_OF["b2"]): ("move the red star to b2", scene_of(b2="red star", b1="blue circle")),
        ops.MoveBeside(STAR, "right of", CIRCLE): (
            "move the red star right of the blue circle",
            scene_of(c1="red star", b1="blue circle"),
        ),
        ops.Swap(STAR, CIRCLE): (
            "swap the red star and the blue circle",
            scene_of(a1="blue circle", b1="red star"),
        ),
        ops.Remove(STAR): ("remove the red star", scene_of(b1="blue circle")),
        ops.Paint(CIRCLE, "green"): (
            "paint the blue circle green",
            scene_of(a1="red star", b1="green circle"),
        ),
        ops.Mix("yellow", STAR): (
            "mix yellow into the red star",
            scene_of(a1="orange star", b1="blue circle"),
        ),
        ops.Gravity(): ("gravity", scene_of(a4="red star", b4="blue circle")),
        ops.Wind("right", "row 1"): ("wind right in row 1", scene_of(b1="red star", c1="blue circle")),
        ops.Wait(): ("wait", before),
    }
    for operation, (words, after) in wanted.items():
        assert operation.words() == words
        assert operation.legal(before)
        assert operation.outcomes(before) == (after,)


def test_the_reference_adopts_a_legal_choice() -> None:
    before = scene_of(a1="red star", b1="blue circle")
    request: list[ops.Operation] = [ops.AddAnywhere(ASH, "row 1", default=CELL_OF["c1"]), ops.Gravity()]
    assert ops.request_words(request) == "add an ash anywhere in row 1 , then gravity"
    assert ops.apply(request, before) == scene_of(a4="red star", b4="blue circle", c4="ash")
    chosen = scene_of(a4="red star", b4="blue circle", d4="ash")
    assert ops.apply(request, before, chosen) == chosen


def test_an_illegal_choice_leaves_the_default() -> None:
    before = scene_of(a1="red star")
    request: list[ops.Operation] = [ops.AddAnywhere(ASH, "row 1", default=CELL_OF["c1"])]
    elsewhere = scene_of(a1="red star", a4="ash")
    assert ops.apply(request, before, elsewhere) == scene_of(a1="red star", c1="ash")


def test_an_adopted_choice_costs_nothing_elsewhere() -> None:
    """Damage in other cells must not make the reference take another placement than the model's."""
    before = scene_of(a1="red star", b3="blue circle")
    request: list[ops.Operation] = [ops.AddAnywhere(ASH, None, default=CELL_OF["c1"])]
    damaged = scene_of(b3="green circle", d2="ash")
    assert ops.apply(request, before, damaged) == scene_of(a1="red star", b3="blue circle", d2="ash")


@given(turns, scenes)
@settings(max_examples=60, deadline=None)
def test_any_request_can_be_followed_from_any_picture(request: list[ImageTurn], scene: Scene) -> None:
    for turn in request:
        correct = ops.outcomes(turn.operations, scene)
        assert correct
        assert all(ops.apply(turn.operations, scene, each) == each for each in correct)


def plan_of(turn: ImageTurn) -> str:
    return plan_words(turn.operations, turn.gold_before)


def test_plans_name_a_thing_right_before_the_cell_it_is_in() -> None:
    before = scene_of(a1="red star", b1="blue circle", c3="ash")
    wanted: dict[ops.Operation, str] = {
        ops.Move(STAR, CELL_OF["b2"]): "move the red star : a1 empty b2 red star",
        ops.Swap(CIRCLE, STAR): "swap the blue circle : b1 red star a1 blue circle",
        ops.MoveBeside(ASH, "below", STAR): (
            "move the ash : c3 empty ; the red star : a1 red star ; below a2 ash"
        ),
        ops.Paint(CIRCLE, "green"): "paint the blue circle : b1 green circle",
        ops.Wind("down", "column a"): "wind down in column a : a1 empty a2 red star a3 empty a4 empty",
        ops.Gravity(): (
            "gravity a4 red star a3 empty a2 empty a1 empty b4 blue circle b3 empty b2 empty b1 empty "
            "c4 ash c3 empty c2 empty c1 empty"
        ),
    }
    for operation, plan in wanted.items():
        assert plan_words([operation], before) == plan


@given(turns)
@settings(max_examples=60, deadline=None)
def test_a_plan_followed_word_by_word_gives_the_gold_picture(dialogue: list[ImageTurn]) -> None:
    for turn in dialogue:
        cells = list(turn.gold_before)
        for cell, state in re.findall(rf"([a-d][1-4]) ({'|'.join(world.STATES)})\b", plan_of(turn)):
            cells[CELL_OF[cell]] = STATE_OF[state]
        assert tuple(cells) == turn.gold


def test_a_missing_thing_is_left_alone() -> None:
    before = scene_of(b1="blue circle")
    for operation in (
        ops.Move(STAR, 3),
        ops.MoveBeside(STAR, "above", CIRCLE),
        ops.AddBeside(ASH, "left of", STAR),
        ops.Swap(STAR, CIRCLE),
        ops.Remove(STAR),
        ops.Paint(STAR, "blue"),
        ops.Mix("blue", STAR),
    ):
        assert operation.outcomes(before) == (before,)
        assert not operation.legal(before)


def test_a_name_must_be_unambiguous() -> None:
    twice = scene_of(a1="ash", b1="ash")
    assert not ops.Move(ASH, 5).legal(twice)
    assert not ops.Add(ASH, 5).legal(twice)
    assert ops.beside(world.BLANK, "above", ASH) is None
