"""Knobs are declared once, on the fields of a class: validation, help, parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.contracts import Backbone, ConfigurationError, Judge, Strategy
from imug_tts.judges import BackboneJudge, ExactJudge
from imug_tts.knobs import Folder, Several, component, knob, knobs_of, nearest, parts
from imug_tts.registry import GROUPS, component_class, describe, names
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone

SHIPPED = [(kind, name) for kind, group in GROUPS.items() for name in names(group)]


@component
class Kettle:
    """A class with a knob of every form."""

    degrees: float = knob("How hot.", default=100.0, ge=0, le=100)
    litres: float = knob("How much.", default=1.0, gt=0, lt=10)
    cups: int = knob("For how many.", default=2, ge=1)
    whistles: bool = knob("Whether it can be heard.", default=True, runtime=True)
    colour: Literal["red", "blue"] = knob("Its colour.", default="red")
    teas: Several[str] = knob("What can be made.", default=("green",), min_length=1)
    shelf: Folder | None = knob("Where it stands.", default=None)
    label: str = knob("What it is called.", default="kettle", pattern=r"^[a-z]+$")
    notes: Mapping[str, int] = knob("Anything else.", default_factory=dict)


@component
class Sealed:
    """A class whose knob must be set."""

    key: str = knob("What opens it.")


numbers = st.one_of(st.integers(), st.floats(), st.booleans())


def accepts(name: str, value: object) -> bool:
    """Whether the constructor and the check of a configuration accept a value; they must agree."""
    ways: tuple[Callable[[], object], ...] = (
        lambda: Kettle(**{name: value}),  # type: ignore[arg-type]
        lambda: knobs_of(Kettle)[name].check(value),
    )
    [accepted] = {_works(way) for way in ways}
    return accepted


def _works(way: Callable[[], object]) -> bool:
    try:
        way()
    except ConfigurationError:
        return False
    return True


@given(value=numbers)
def test_a_number_is_accepted_exactly_when_it_is_in_range(value: float) -> None:
    is_number = not isinstance(value, bool)
    assert accepts("degrees", value) == (is_number and 0 <= value <= 100)
    assert accepts("litres", value) == (is_number and 0 < value < 10)


@given(value=numbers)
def test_a_whole_number_is_accepted_exactly_when_it_is_one_in_range(value: float) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    assert accepts("cups", value) == (is_whole and value >= 1)


@given(value=st.integers(0, 100))
def test_a_whole_number_is_the_same_knob_as_a_fraction_of_equal_value(value: int) -> None:
    whole, fraction = Kettle(degrees=value), Kettle(degrees=float(value))
    assert whole == fraction
    assert isinstance(whole.degrees, float)
    assert str(describe(whole)) == str(describe(fraction))
    assert isinstance(knobs_of(Kettle)["degrees"].check(value), float)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("degrees", 101, "degrees is 101; it must be 100 or less"),
        ("degrees", -0.5, "degrees is -0.5; it must be 0 or more"),
        ("degrees", "hot", "degrees is 'hot'; it must be a number"),
        ("degrees", None, "degrees is None; it must be a number"),
        ("litres", 0, "litres is 0; it must be above 0"),
        ("litres", 10.0, "litres is 10.0; it must be below 10"),
        ("cups", 0, "cups is 0; it must be 1 or more"),
        ("cups", 1.5, "cups is 1.5; it must be a whole number"),
        ("cups", "2", "cups is '2'; it must be a whole number"),
        ("whistles", "yes", "whistles is 'yes'; it must be true or false"),
        ("whistles", 1, "whistles is 1; it must be true or false"),
        ("colour", "rde", "colour is 'rde'; did you mean red? Choose from: red, blue"),
        ("colour", "x", "colour is 'x'; choose from: red, blue"),
        ("teas", "green", "teas is 'green'; it must be a list: [green]"),
        ("teas", [], "teas is []; it must be a list of 1 or more"),
        ("shelf", 3, "shelf is 3; it must be a path"),
        ("label", "K 2", "label is 'K 2'; it must be text of the form ^[a-z]+$"),
        ("label", 7, "label is 7; it must be text"),
        ("notes", [], "notes is []; it must be a mapping: {name: value}"),
        ("degree", 3, "there is no knob 'degree'; did you mean degrees?"),
    ],
)
def test_what_is_wrong_is_said_with_knob_value_and_what_is_allowed(name: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Kettle(**{name: value})
    assert str(error.value).startswith(f"Kettle: {words}")


def test_not_a_number_is_no_number() -> None:
    for name in ("degrees", "litres"):
        knobs: dict[str, Any] = {name: math.nan}
        with pytest.raises(ConfigurationError, match=f"{name} is nan"):
            Kettle(**knobs)


def test_a_knob_that_must_be_set_says_so() -> None:
    with pytest.raises(ConfigurationError, match="Sealed: key must be set"):
        Sealed()  # type: ignore[call-arg]


def test_a_part_that_must_be_set_comes_with_an_example() -> None:
    with pytest.raises(ConfigurationError, match=r"BestOfN: inner must be set, e\.g\. Direct\(\)"):
        BestOfN(n=4)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match=r"inner is 'cot'; it must be a Strategy, e\.g\. Direct\(\)"):
        BestOfN(inner="cot", judge=BackboneJudge())  # type: ignore[arg-type]


def test_a_value_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Kettle: 0\.5 has no name; write KNOB=0\.5"):
        Kettle(0.5)  # type: ignore[call-arg]


def test_lists_become_tuples_and_texts_paths() -> None:
    made = Kettle(teas=["green", "black"], shelf="kitchen")  # type: ignore[arg-type]
    assert (made.teas, made.shelf) == (("green", "black"), Path("kitchen"))
    assert knobs_of(Kettle)["shelf"].check("kitchen") == Path("kitchen")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("degrees", "(0 or more; 100 or less)"),
        ("litres", "(above 0; below 10)"),
        ("whistles", "(changes no result)"),
        ("colour", "(red | blue)"),
        ("notes", ""),
    ],
)
def test_help_says_what_is_allowed(name: str, allowed: str) -> None:
    assert knobs_of(Kettle)[name].allowed == allowed


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_every_knob_and_part_of_what_is_shipped_has_a_meaning(kind: type, name: str) -> None:
    knobs = knobs_of(component_class(kind, name, name)).values()
    assert [each.name for each in knobs if not each.meaning.endswith((".", "?"))] == []


@given(order=st.permutations(["degrees", "cups", "colour", "teas"]))
def test_a_description_does_not_depend_on_the_order_of_what_is_given(order: list[str]) -> None:
    given: dict[str, Any] = {"degrees": 40, "cups": 3, "colour": "blue", "teas": ["black"]}
    assert list(describe(Kettle(**{key: given[key] for key in order})).items()) == list(given.items())


def test_a_description_leaves_out_defaults_and_what_changes_no_result() -> None:
    assert describe(Kettle(whistles=False, degrees=100)) == {}
    assert describe(Kettle(cups=3)) == {"cups": 3}


def test_the_parts_are_the_components_that_fields_hold() -> None:
    inner, judge = Direct(), BackboneJudge(verifier=ToyBackbone())
    assert list(parts(BestOfN(inner=inner, judge=judge))) == [("inner", inner), ("judge", judge)]
    assert list(parts(judge)) == [("verifier", judge.verifier)]
    assert list(parts(BackboneJudge())) == []


@dataclass(frozen=True)
class Panel:
    """A plain dataclass, as a plugin may write one."""

    critics: tuple[Judge, ...]
    draft: Strategy
    referee: Backbone | None = None
    rounds: int = 2
    seen: list[str] = field(default_factory=list, init=False)


def test_a_plain_dataclass_has_knobs_and_parts_too() -> None:
    assert list(knobs_of(Panel)) == ["critics", "draft", "referee", "rounds"]
    assert [knobs_of(Panel)[name].part for name in knobs_of(Panel)] == [Judge, Strategy, Backbone, None]
    critics = (BackboneJudge(), ExactJudge(benchmark=ToyBenchmark()))
    assert [name for name, _ in parts(Panel(critics, Direct()))] == ["critics", "critics", "draft"]


def test_advice_names_the_nearest_word_and_all_that_there_are() -> None:
    assert (
        nearest("bestofn", ["direct", "best_of_n"])
        == "did you mean best_of_n? Choose from: direct, best_of_n"
    )
    assert nearest("x", ["direct", "cot"]) == "choose from: direct, cot"
