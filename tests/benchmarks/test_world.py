"""The world itself: pixels both ways, and what gravity, wind and time do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.world import Scene
from tests.benchmarks.pocket_scenes import scene_of, scenes


@given(scenes)
def test_what_is_drawn_is_read_back(scene: Scene) -> None:
    pixels = world.render(scene)
    assert pixels.shape == (world.IMAGE_PX, world.IMAGE_PX, 3)
    assert world.parse(pixels) == scene


@given(scenes, st.sampled_from([2, 3]))
def test_larger_and_noisy_pictures_are_read_too(scene: Scene, factor: int) -> None:
    noise = np.random.default_rng(0).integers(-20, 20, (64 * factor, 64 * factor, 3))
    large = world.render(scene).repeat(factor, 0).repeat(factor, 1).astype(int) + noise
    assert world.parse(large.clip(0, 255).astype(np.uint8)) == scene


@pytest.mark.parametrize("shape", [(64, 64), (0, 64, 3), (64, 64, 4)])
def test_what_is_not_an_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="height x width x 3"):
        world.parse(np.zeros(shape, np.uint8))


def test_states_look_different() -> None:
    pictures = world.prototypes().reshape(len(world.STATES), -1)
    assert len(np.unique(pictures, axis=0)) == len(world.STATES) == 32


def test_things_fall_in_their_column_and_keep_their_order() -> None:
    before = scene_of(a1="red star", a3="ash", b4="ice")
    assert world.fall(before) == scene_of(a3="red star", a4="ash", b4="ice")


@given(scenes)
def test_falling_twice_is_falling_once(scene: Scene) -> None:
    assert world.fall(world.fall(scene)) == world.fall(scene)


def test_wind_wraps_around() -> None:
    before = scene_of(a2="ash", d2="ice", c1="fire")
    assert world.blow(before, "row 2", forward=True) == scene_of(b2="ash", a2="ice", c1="fire")
    assert world.blow(before, "column c", forward=False) == scene_of(a2="ash", d2="ice", c4="fire")


@given(scenes, st.sampled_from(world.LINES))
def test_wind_back_and_forth_changes_nothing(scene: Scene, line: str) -> None:
    assert world.blow(world.blow(scene, line, forward=True), line, forward=False) == scene


def test_time_grows_melts_burns_and_spreads() -> None:
    before = scene_of(
        a1="fire", b1="seed", c1="seed", a3="ice", b3="water", d4="ash", d1="sprout", c4="flower"
    )
    after = scene_of(a1="ash", b1="fire", c1="sprout", a3="water", d4="ash", d1="flower", c4="flower")
    assert world.pass_time(before) == after


def test_only_a_wholly_right_picture_gets_all_points() -> None:
    before, after = scene_of(a1="ash", b1="ice"), scene_of(b1="ice", c1="ash", d1="fire")
    assert world.grade(before, after, after).score == 1
    missing = world.grade(before, after, scene_of(b1="ice", d1="fire"))
    assert (missing.change, missing.keep, missing.clean) == (3, 5, 5)
    spurious = world.grade(before, after, scene_of(b1="ice", c1="ash", d1="fire", a4="water"))
    assert (spurious.change, spurious.keep, spurious.clean) == (5, 5, 4)
    forgotten = world.grade(before, after, scene_of(c1="ash", d1="fire"))
    assert (forgotten.change, forgotten.keep, forgotten.clean) == (5, 0, 5)


@given(scenes, scenes, scenes)
def test_points_are_whole_and_in_range(before: Scene, after: Scene, drawn: Scene) -> None:
    points = world.grade(before, after, drawn)
    assert all(point in range(6) for point in (points.change, points.keep, points.clean))
    assert (points.score == 1) == (drawn == after)
