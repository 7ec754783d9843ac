"""Projection of gradients: its invariants on random gradients, and its results by hand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from imug_tts.training.method import Projection
from imug_tts.training.projection import Combined, Gradient, combine

SEEDS = st.integers(0, 2**32 - 1)
PROJECTIONS = get_args(Projection)
NAMES = ("perception", "reasoning", "planning")


def gradient(seed: int) -> list[Tensor | None]:
    """Two parameters of six numbers in all, and one that no loss reaches."""
    drawn = torch.Generator().manual_seed(seed)
    shapes = [(2, 2), (2,)]
    return [*(torch.randn(*shape, generator=drawn, dtype=torch.float64) for shape in shapes), None]


def gradients(seed: int) -> tuple[list[Tensor | None], dict[str, Gradient]]:
    return gradient(seed), {name: gradient(seed + 1 + place) for place, name in enumerate(NAMES)}


def numbers(of: Gradient) -> list[float]:
    return [value for part in of if part is not None for value in part.flatten().tolist()]


def inner(one: Gradient, other: Gradient) -> float:
    """The inner product, where a parameter that is not reached counts as 0."""
    pairs = zip(one, other, strict=True)
    return sum(float((a * b).sum()) for a, b in pairs if a is not None and b is not None)


def combined(
    anchor: Gradient, followers: Mapping[str, Gradient], projection: Projection, shuffle: random.Random
) -> Combined:
    gradients = {"labels": anchor, **followers}
    return combine(gradients, dict.fromkeys(gradients, 1.0), "labels", projection, shuffle)


def without_conflict(follower: Gradient, anchor: Gradient) -> Gradient:
    """What the anchor stage leaves of one follower."""
    merged = combined(anchor, {"one": follower}, "anchor", random.Random(0)).gradient
    return [a if a is None or b is None else a - b for a, b in zip(merged, anchor, strict=True)]


def plane(x: float, y: float) -> list[Tensor | None]:
    return [torch.tensor([x, y], dtype=torch.float64)]


@given(SEEDS)
def test_nothing_that_is_projected_goes_against_the_anchor(seed: int) -> None:
    anchor, followers = gradients(seed)
    for follower in followers.values():
        assert inner(without_conflict(follower, anchor), anchor) >= -1e-9
    found = combined(anchor, followers, "anchor", random.Random(0)).gradient
    assert inner(found, anchor) >= 3 * inner(anchor, anchor) - 1e-9


@given(SEEDS)
def test_a_projection_takes_away_a_multiple_of_the_other_and_adds_no_length(seed: int) -> None:
    one, other = gradient(seed), gradient(seed + 1)
    projected = without_conflict(one, other)
    assert inner(projected, projected) <= inner(one, one) + 1e-9
    difference = [None if a is None or b is None else a - b for a, b in zip(one, projected, strict=True)]
    if inner(one, other) < 0:
        parallel = inner(difference, other) ** 2
        assert parallel == pytest.approx(inner(difference, difference) * inner(other, other))
    else:
        assert inner(difference, difference) == pytest.approx(0, abs=1e-20)


@given(SEEDS, SEEDS)
def test_two_capabilities_come_out_the_same_in_any_order(seed: int, order: int) -> None:
    anchor, followers = gradients(seed)
    pair = {name: followers[name] for name in NAMES[:2]}
    found = [combined(anchor, pair, "both", random.Random(shuffle)).gradient for shuffle in (0, order)]
    assert numbers(found[0]) == pytest.approx(numbers(found[1]))


@given(SEEDS, SEEDS)
def test_without_a_symmetric_stage_the_order_does_not_matter(seed: int, order: int) -> None:
    anchor, followers = gradients(seed)
    turned = dict(reversed(followers.items()))
    for projection in ("anchor", "none"):
        one = combined(anchor, followers, projection, random.Random(0)).gradient
        two = combined(anchor, turned, projection, random.Random(order)).gradient
        assert numbers(one) == pytest.approx(numbers(two))


@pytest.mark.parametrize("projection", PROJECTIONS)
@given(seed=SEEDS)
def test_without_conflict_all_gradients_are_summed(projection: Projection, seed: int) -> None:
    positive = [[None if part is None else part.abs() for part in gradient(seed + n)] for n in range(4)]
    anchor, *rest = positive
    followers: dict[str, Gradient] = dict(zip(NAMES, rest, strict=True))
    times = 1 if projection == "none" else 3
    expected = [times * a + sum(more) for a, *more in zip(*map(numbers, positive), strict=True)]
    found = combined(anchor, followers, projection, random.Random(seed))
    assert numbers(found.gradient) == pytest.approx(expected)
    assert min(found.cosines.values()) > 0


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        ("none", (-1.0, 2.0)),  # (1, 0) + (-2, 1) + (0, 1)
        ("anchor", (2.0, 2.0)),  # (-2, 1) becomes (0, 1); merged (1, 1) and (1, 1)
        ("both", (2.0, 2.0)),  # the merged gradients agree
        ("shuffled", (0.0, 2.0)),  # merged (-1, 1) and (1, 1) are at right angles
    ],
)
def test_each_stage_by_hand(projection: Projection, expected: tuple[float, float]) -> None:
    followers: dict[str, Gradient] = {"perception": plane(-2, 1), "planning": plane(0, 1)}
    found = combined(plane(1, 0), followers, projection, random.Random(0))
    assert numbers(found.gradient) == pytest.approx(expected)
    assert found.norms == pytest.approx({"labels": 1, "perception": 5**0.5, "planning": 1})
    pairs = [("labels", "perception"), ("labels", "planning"), ("perception", "planning")]
    assert found.cosines == pytest.approx(dict(zip(pairs, (-2 / 5**0.5, 0, 1 / 5**0.5), strict=True)))


def test_the_symmetric_stage_projects_away_from_what_was_before() -> None:
    # Merged (1, 0) and (-1, 1). The first loses its part along the second: (0.5, 0.5); the second: (0, 1).
    followers: dict[str, Gradient] = {"perception": plane(1, 0), "planning": plane(-1, 1)}
    found = combined(plane(0, 0), followers, "shuffled", random.Random(0))
    assert numbers(found.gradient) == pytest.approx([0.5, 1.5])


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_without_capabilities_the_anchor_is_applied_as_it_is(projection: Projection) -> None:
    found = combined(plane(3, -4), {}, projection, random.Random(0))
    assert numbers(found.gradient) == [3, -4]


def test_a_loss_that_does_not_reach_a_parameter_has_a_gradient_of_zero_there() -> None:
    anchor: Gradient = [torch.tensor([1.0]), torch.tensor([1.0]), None]
    follower: Gradient = [torch.tensor([-2.0]), None, None]
    gradients = {"labels": anchor, "planning": follower}
    weights = dict.fromkeys(gradients, 1.0)
    found = combine(gradients, weights, "labels", "both", random.Random(0)).gradient
    # (-2, 0) loses its part along (1, 1), which is (-1, -1): merged (1, 1) + (-1, 1)
    assert [None if part is None else part.tolist() for part in found] == [[0.0], [2.0], None]
    released = combine(gradients, weights, "labels", "both", random.Random(0), as_released=True).gradient
    # the released trainer leaves the second parameter as it is: (1, 1) + (-1, 0)
    assert [None if part is None else part.tolist() for part in released] == [[0.0], [1.0], None]


@given(SEEDS)
def test_weights_are_those_of_gradients_that_were_multiplied_before(seed: int) -> None:
    anchor, followers = gradients(seed)
    weights = {"labels": 0.5, "perception": 3.0, "reasoning": 0.1, "planning": 2.0}
    raw: dict[str, Gradient] = {"labels": anchor, **followers}
    found = combine(raw, weights, "labels", "both", random.Random(seed))
    scaled: dict[str, Gradient] = {
        name: [None if part is None else part * weights[name] for part in one] for name, one in raw.items()
    }
    again = combine(scaled, dict.fromkeys(raw, 1.0), "labels", "both", random.Random(seed))
    assert numbers(found.gradient) == pytest.approx(numbers(again.gradient))


def test_an_unknown_projection_is_refused() -> None:
    with pytest.raises(ValueError, match="projection is 'pcgrad'; allowed are both, anchor, shuffled, none"):
        combined(plane(1, 0), {}, "pcgrad", random.Random(0))  # type: ignore[arg-type]
