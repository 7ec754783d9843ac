"""Declarations of knobs: which are refused, and how limits are put into words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from imug_tts.contracts import ConfigurationError
from imug_tts.knobs import Several, check_declaration, component, knob, knobs_of


def wrong_default() -> type:
    @component
    class Wrong:
        steps: int = knob("Steps.", default=2.5)

    return Wrong


def default_out_of_range() -> type:
    @component
    class Wrong:
        steps: int = knob("Steps.", default=0, ge=1)

    return Wrong


def default_of_no_configuration() -> type:
    @component
    class Wrong:
        steps: Any = knob("Steps.", default=object())

    return Wrong


def no_type() -> type:
    @component
    class Wrong:
        steps = knob("Steps.", default=1)

    return Wrong


def no_decorator() -> type:
    class Wrong:
        steps: int = knob("Steps.", default=1)

    return Wrong


def no_decorator_below_a_component() -> type:
    @component
    class Right:
        rounds: int = knob("Rounds.", default=1)

    class Wrong(Right):
        steps: int = knob("Steps.", default=1)

    return Wrong


def name_of_a_component() -> type:
    @component
    class Wrong:
        name: str = knob("Its name.", default="a")

    return Wrong


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (wrong_default, "the default of steps is 2.5; it must be a whole number"),
        (default_out_of_range, "the default of steps is 0; it must be 1 or more"),
        (default_of_no_configuration, "which no configuration can hold"),
        (no_type, r"steps = knob\(...\) is not read as a knob; give it a type"),
        (no_decorator, "put @component above class Wrong"),
        (no_decorator_below_a_component, "put @component above class Wrong"),
        (name_of_a_component, "no knob can be called 'name'"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(declare: Callable[[], type], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        check_declaration(declare())


def test_a_limit_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no limit 'minimum'; "):
        knob("Steps.", default=1, minimum=1)


@component
class Limits:
    """One knob of each kind of limit."""

    share: float = knob("A share.", default=0.5, gt=0, le=1)
    even: int = knob("An even number.", default=2, multiple_of=2)
    urls: Several[str] = knob("Where.", default=("a",), min_length=1, max_length=3)
    word: str = knob("A word.", default="a", pattern="^[a-z]+$")
    free: str = knob("Anything.", default="")


def test_limits_are_said_in_words() -> None:
    assert {name: each.range for name, each in knobs_of(Limits).items()} == {
        "share": "above 0; 1 or less",
        "even": "a multiple of 2",
        "urls": "at least 1 long; at most 3 long",
        "word": "of the form ^[a-z]+$",
        "free": "",
    }
