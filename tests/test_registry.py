"""The registry of components, and their descriptions as plain values, which identify runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts import registry
from imug_tts.assemble import build_arm
from imug_tts.contracts import Backbone, ConfigurationError, Judge, Scope, Strategy
from imug_tts.dialogue import Response, Turn
from imug_tts.judges import BackboneJudge, ExactJudge, OpenAIJudge
from imug_tts.knobs import component, knob
from imug_tts.records import digest
from imug_tts.registry import GROUPS, broken, component_class, describe, entry, name_of, names, selection
from imug_tts.runs import Arm
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone
from tests.composing import composed


class Answering(Strategy):
    """What the strategies of these tests have in common."""

    name = "patient"

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Patient(Answering):
    """A strategy of a plugin whose knobs have names that elsewhere change no result."""

    timeout_s: int = 5
    root: Path = Path("here")
    output: str = "short"
    study: str = "one"
    in_flight: int = 1
    concurrency: int = 1


@component
class Declared(Answering):
    """The same, declared: one knob changes no result, and says so."""

    timeout_s: int = knob("How long it thinks.", default=5)
    verbose: bool = knob("Whether it says what it does.", default=False, runtime=True)


@component
class Preferring(Answering):
    """A strategy with a preference for its part."""

    inner: Strategy = knob("How it answers.", default=Direct(image_temperature=0.5))


def identity_of(strategy: Strategy) -> dict[str, Any]:
    return Arm(backbone=ToyBackbone(), strategy=strategy, benchmark=ToyBenchmark()).identity


def identity(*overrides: str) -> dict[str, Any]:
    return build_arm(composed(*overrides)).identity


def test_all_that_is_declared_can_be_loaded() -> None:
    assert list(broken()) == []
    for kind, group in GROUPS.items():
        for name in names(group):
            cls = component_class(kind, name, group)
            assert issubclass(cls, kind)
            assert name_of(cls) == name


def test_an_unknown_name_is_said_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"here: there is no 'exat'; did you mean exact\?"):
        entry("judges", "exat", "here")


def test_a_part_with_an_object_as_its_default_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry", lambda group, name, where: Preferring)
    with pytest.raises(ConfigurationError, match=r"the default of inner is an object.*strategy\.inner=NAME"):
        component_class(Strategy, "direct", "strategy")
    assert Preferring().inner == Direct(image_temperature=0.5)  # in Python it is what it says


def test_a_class_that_is_not_declared_is_named_by_its_module() -> None:
    assert name_of(ToyBackbone) == "imug_tts.testing.toys:ToyBackbone"


@pytest.mark.parametrize(
    "knobs",
    [
        {"timeout_s": 50},
        {"root": Path("elsewhere")},
        {"output": "long"},
        {"study": "two"},
        {"in_flight": 2},
        {"concurrency": 2},
    ],
    ids=str,
)
def test_a_knob_of_any_name_counts_unless_it_is_declared_to_change_no_result(knobs: dict[str, Any]) -> None:
    assert digest(identity_of(Patient(**knobs))) != digest(identity_of(Patient()))


def test_only_a_knob_that_is_declared_to_change_no_result_does_not_count() -> None:
    assert identity_of(Declared(verbose=True)) == identity_of(Declared())
    assert identity_of(Declared(timeout_s=50)) != identity_of(Declared())


def test_the_identity_of_a_run_leaves_out_how_it_is_done_and_nothing_else() -> None:
    done_otherwise = ("output=/elsewhere", "study=x", "in_flight=3", "tracking=none")
    assert identity(*done_otherwise) == identity()
    for change in (
        "seed=1",
        "history=gold",
        "strategy=cot",
        "strategy.max_tokens=9",
        "strategy.settings={steps: 3}",
        "benchmark.num_samples=9",
        "benchmark.classes=[hybrid]",
        "scoring.mcq=corrected",
        "budget.images=3",
        "score_candidates=false",
        "judge@scorer=openai",
    ):
        assert digest(identity(change)) != digest(identity()), change


def test_a_judge_counts_where_it_is_used_alone() -> None:
    assert identity("judge=none") == identity("judge=backbone")
    best = "strategy=best_of_n"
    assert identity(best, "judge=pairwise") != identity(best)
    assert identity(best, "judge=openai", "judge.model=a") != identity(best, "judge=openai", "judge.model=b")
    assert identity(best, "judge=openai", "judge.concurrency=2") == identity(best, "judge=openai")


def test_another_model_in_a_role_counts_where_the_role_is_asked() -> None:
    planner = "backbone@roles.planner=openai_chat"
    assert identity(planner) == identity()
    assert identity("strategy=cot", planner) != identity("strategy=cot")


def test_which_dialogues_are_picked_is_told_apart_from_what_is_done_with_them() -> None:
    one, other = (build_arm(composed(f"benchmark.num_samples={n}")) for n in (6, 9))
    assert one.own_identity == other.own_identity
    assert one.selection == {"num_samples": 6}
    assert selection(one.benchmark) == one.selection


def test_a_description_names_parts_and_leaves_out_the_benchmark_that_a_part_is_handed() -> None:
    judge = BackboneJudge(verifier=ToyBackbone(), max_questions=3)
    assert describe(BestOfN(inner=Direct(max_tokens=9), judge=judge, n=2)) == {
        "name": "best_of_n",
        "inner": {"name": "direct", "max_tokens": 9},
        "judge": {
            "name": "backbone",
            "max_questions": 3,
            "verifier": {"name": "imug_tts.testing.toys:ToyBackbone"},
        },
        "n": 2,
    }
    assert describe(ExactJudge(benchmark=ToyBenchmark())) == {"name": "exact"}
    assert describe(OpenAIJudge(base_url="http://elsewhere:1/v1", model="m")) == {
        "name": "openai",
        "model": "m",
    }


@dataclass(frozen=True)
class Debate(Answering):
    draft: Strategy
    critics: tuple[Judge, ...] = ()
    referee: Backbone | None = None
    words: tuple[str, ...] | frozenset[str] = ()


def test_several_parts_are_described_in_order_and_sets_sorted() -> None:
    debate = Debate(Direct(), (BackboneJudge(), OpenAIJudge(model="m")), ToyBackbone(), frozenset("ba"))
    assert describe(debate) == {
        "name": registry.identity_of(Debate),
        "draft": {"name": "direct"},
        "critics": [{"name": "backbone"}, {"name": "openai", "model": "m"}],
        "referee": {"name": "imug_tts.testing.toys:ToyBackbone"},
        "words": ["a", "b"],
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values))
def test_a_digest_sees_neither_order_nor_the_kind_of_a_sequence(config: dict[str, Any]) -> None:
    turned = {key: config[key] for key in reversed(config)}
    turned = {key: tuple(value) if isinstance(value, list) else value for key, value in turned.items()}
    assert digest(turned) == digest(config)


def test_a_digest_takes_one_and_one_point_zero_for_the_same() -> None:
    assert digest({"temperature": 1}) == digest({"temperature": 1.0}) != digest({"temperature": 1.5})
