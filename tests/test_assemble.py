"""Building objects from plain configurations, for all choices that the commands offer."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import pytest

import imug_tts
from experiments.choices import HYDRA_GROUPS
from imug_tts.assemble import (
    NONE,
    REQUIRED,
    RUN_PARTS,
    RunSettings,
    Shared,
    build_arm,
    build_backbone,
    build_settings,
    build_trackers,
    choices,
)
from imug_tts.backbones.pocket import PocketBackbone
from imug_tts.composition import is_oracle, label
from imug_tts.contracts import Backbone, Benchmark, ConfigurationError, Judge, Strategy
from imug_tts.judges import BackboneJudge, ExactJudge
from imug_tts.knobs import Knob, knobs_of
from imug_tts.registry import GROUPS, component_class, describe, names
from imug_tts.strategies import BestOfN, Direct
from tests.composing import composed, options

CHOICES = [(kind, name) for kind in HYDRA_GROUPS for name in options(kind)]
SHIPPED = [(kind, name) for kind, group in GROUPS.items() for name in names(group)]


def plain(value: object) -> object:
    if value is MISSING:
        return REQUIRED
    return list(value) if isinstance(value, tuple) else value


def settings(config: dict[str, Any]) -> RunSettings:
    return build_settings(RunSettings, config, RUN_PARTS)


def required(kind: type, name: str) -> list[str]:
    """Overrides for the knobs of a component that have no default: an address, a name, or parts."""
    if kind not in (Backbone, Benchmark, Judge) or name == NONE:
        return []
    group = HYDRA_GROUPS[kind]
    knobs = knobs_of(component_class(kind, name, group)).values()
    return [_given(group, k) for k in knobs if k.default is MISSING and k.part is not Benchmark]


def _given(group: str, knob: Knob) -> str:
    if knob.part is not None:
        parts = "[{name: backbone}, {name: backbone}]"
        return f"{group}.{knob.name}={parts}" if knob.is_list else f"backbone@{group}.{knob.name}=pocket"
    return f"{group}.{knob.name}={'http://127.0.0.1:1/' if knob.name == 'url' else 'here'}"


@pytest.mark.parametrize(("kind", "name"), CHOICES)
def test_every_choice_composes_and_builds(kind: type, name: str) -> None:
    config = composed(f"{HYDRA_GROUPS[kind]}={name}", *required(kind, name))
    build_arm(config)
    build_trackers(config["tracking"])


@pytest.mark.parametrize("scorer", ["openai", NONE])
def test_every_scorer_composes_and_builds(scorer: str) -> None:
    arm = build_arm(composed(f"judge@scorer={scorer}"))
    assert ("scorer" in arm.roles) == (scorer != NONE)


@pytest.mark.parametrize("name", options(Strategy))
def test_every_strategy_can_wrap_every_strategy(name: str) -> None:
    for outer in ("best_of_n", "cot", "majority_vote", "self_verify"):
        config = composed(f"strategy={outer}", f"strategy@strategy.inner={name}")
        build_arm(config)


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_a_choice_has_every_knob_with_the_default_of_its_class(kind: type, name: str) -> None:
    group = HYDRA_GROUPS[kind]
    config = composed(f"{group}={name}")
    node = config["tracking"][name] if group == "tracking" else config[group]
    knobs = knobs_of(component_class(kind, name, group)).values()
    expected = {
        each.name: plain(each.default) for each in knobs if each.part is None and each.name != "scoring"
    }
    assert node.pop("name") == name
    assert {key: value for key, value in node.items() if key in expected} == expected
    parts = [value for key, value in node.items() if key not in expected]
    assert all(value in (None, REQUIRED) or isinstance(value, dict) for value in parts)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["strategy=self_verify_cot"], "self_verify+cot"),
        (["strategy=best_of_n_self_verify_cot", "strategy.n=8"], "best_of_8+self_verify+cot"),
        (["strategy=best_of_n", "strategy@strategy.inner=self_verify_cot"], "best_of_4+self_verify+cot"),
        (
            [
                "strategy=cot",
                "strategy@strategy.inner=best_of_n",
                "strategy@strategy.inner.inner=self_verify",
                "strategy.inner.inner.max_rounds=5",
            ],
            "cot+best_of_4+self_verify[max_rounds=5]",
        ),
        (["strategy=oracle_best_of_n"], "oracle_best_of_4"),
        (["strategy=best_of_n", "judge=exact"], "oracle_best_of_4"),
        (["strategy=best_of_n_cot", "judge@strategy.judge=exact"], "oracle_best_of_4+cot"),
        (["strategy=best_of_n_cot", "strategy.judge={name: exact}"], "oracle_best_of_4+cot"),
        (["strategy=majority_vote", "strategy@strategy.inner=cot"], "majority_of_5+cot"),
    ],
)
def test_strategies_nest_through_overrides(overrides: list[str], name: str) -> None:
    strategy = build_arm(composed(*overrides)).strategy
    assert label(strategy) == name
    assert is_oracle(strategy) == name.startswith("oracle")


def test_a_vote_is_over_sampled_answers_unless_something_else_is_chosen() -> None:
    inner = composed("strategy=majority_vote")["strategy"]["inner"]
    assert (inner["name"], inner["text_temperature"]) == ("direct", 0.7)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"strategy": {"name": "bestofn"}}, ["strategy: there is no 'bestofn'", "did you mean best_of_n?"]),
        ({"strategy": {"name": "direct", "nn": 8}}, ["strategy direct has no knob 'nn'"]),
        (
            {"strategy": {"name": "cot", "plan_token": 8, "inner": {"name": "direct"}}},
            ["strategy cot has no knob 'plan_token'", "did you mean plan_tokens?"],
        ),
        ({"strategy": {"name": "cot", "inner": "dirct"}}, ["strategy.inner: there is no 'dirct'"]),
        ({"strategy": {"name": "cot", "inner": 3}}, ["strategy.inner is 3", "{name: NAME"]),
        (
            {"strategy": {"name": "cot", "inner": {"name": "dirct"}}},
            ["strategy.inner: there is no 'dirct'", "did you mean direct?"],
        ),
        ({"strategy": None}, ["strategy is None", "{name: NAME", "best_of_n"]),
        ({"strategy": {"name": NONE}}, ["strategy is none", "best_of_n"]),
        ({"benchmark": {"name": REQUIRED}}, ["benchmark: there is no '???'", "pocket_world"]),
        (
            {"strategy": {"name": "direct", "max_tokens": "many"}},
            ["strategy.max_tokens is 'many'", "a whole number"],
        ),
        ({"strategy": {"name": "direct", "max_tokens": True}}, ["strategy.max_tokens is True"]),
        ({"strategy": {"name": "direct", "max_tokens": 0}}, ["strategy.max_tokens is 0", "1 or more"]),
        (
            {"strategy": {"name": "direct", "image_temperature": -1}},
            ["strategy.image_temperature is -1; it must be 0 or more"],
        ),
        ({"judge": {"name": "exat"}}, ["judge: there is no 'exat'", "did you mean exact?"]),
        ({"judge": {"name": "none", "n": 1}}, ["judge none has no knob 'n'", "it has none"]),
        ({"benchmark": {"name": "pocket_world", "classes": ["hybird"]}}, ["did you mean hybrid?"]),
        (
            {"benchmark": {"name": "pocket_world", "classes": "hybrid"}},
            ["benchmark.classes is 'hybrid'; it must be a list: [hybrid]"],
        ),
        ({"history": "gld"}, ["history is 'gld'", "did you mean gold?"]),
        ({"seed": "one"}, ["seed is 'one'", "a whole number"]),
        ({"budget": {"images": 0, "texts": None}}, ["budget.images is 0; it must be 1 or more"]),
        ({"budget": {"image": 3}}, ["budget has no knob 'image'", "did you mean images?"]),
        ({"budget": 3}, ["budget is 3; it must be a mapping"]),
        ({"roles": {"planer": None}}, ["roles has no role 'planer'", "did you mean planner?"]),
        ({"histroy": "own"}, ["the configuration has no knob 'histroy'", "did you mean history?"]),
        ({"history_from": "runs/x"}, ["history_from needs history=swap"]),
        (
            {"backbone": {"name": "openai_chat", "api_key": "hush"}},
            ["backbone.api_key looks like a secret", "environment"],
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest_right_name(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as error:
        build_arm(composed() | config)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("part", ["backbone", "strategy", "judge", "benchmark", "roles"])
def test_a_part_that_was_removed_is_named(part: str) -> None:
    config = {key: value for key, value in composed().items() if key != part}
    with pytest.raises(ConfigurationError, match=f"the configuration has no {part}"):
        build_arm(config)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"study": "../elsewhere"}, "study is '../elsewhere'"),
        ({"in_flight": 0}, "in_flight is 0; it must be 1 or more"),
        ({"output": ["a"]}, "output is .*; it must be a path"),
    ],
)
def test_settings_of_a_run_are_checked(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        settings(composed() | knobs)


def test_an_output_may_look_like_a_number() -> None:
    assert settings(composed("output='3'")).output == Path("3")


def test_models_and_benchmarks_of_equal_configuration_are_built_once() -> None:
    shared = Shared()
    one = build_arm(composed("strategy=cot", "backbone@roles.planner=pocket"), shared)
    two = build_arm(composed("strategy=oracle_best_of_n", "history=gold"), shared)
    other = build_arm(composed("benchmark.classes=[hybrid]"), shared)
    scored = build_arm(composed("scoring.grid=robust"), shared)
    judged = build_arm(composed("strategy=best_of_n", "backbone@judge.verifier=pocket"), shared)
    assert isinstance(judged.strategy, BestOfN)
    assert isinstance(judged.strategy.judge, BackboneJudge)
    assert one.backbone is two.backbone is one.roles["planner"] is judged.strategy.judge.verifier
    assert one.benchmark is two.benchmark
    assert len({id(arm.benchmark) for arm in (one, other, scored)}) == 3


def test_an_oracle_judges_by_the_benchmark_of_the_run() -> None:
    arm = build_arm(composed("strategy=oracle_best_of_n", "benchmark.num_samples=6"))
    assert isinstance(arm.strategy, BestOfN)
    assert isinstance(arm.strategy.judge, ExactJudge)
    assert arm.strategy.judge.benchmark is arm.benchmark


def test_a_strategy_without_a_judge_is_refused_where_it_needs_one() -> None:
    with pytest.raises(ConfigurationError, match="needs a judge"):
        build_arm(composed("strategy=best_of_n", "judge=none"))
    build_arm(composed("strategy=cot", "judge=none"))


def test_a_backbone_is_loaded_by_name() -> None:
    assert imug_tts.load_backbone("pocket").capabilities == build_backbone({"name": "pocket"}).capabilities
    with pytest.raises(ConfigurationError, match="did you mean pocket"):
        imug_tts.load_backbone("poket")
    with pytest.raises(ConfigurationError, match="give the knobs as keywords"):
        imug_tts.load_backbone({"name": "pocket"})  # type: ignore[arg-type]


def test_every_public_name_can_be_imported() -> None:
    for name in imug_tts.__all__:
        assert getattr(imug_tts, name) is not None
    assert set(imug_tts.__all__) <= set(dir(imug_tts))
    with pytest.raises(AttributeError, match="no_such_name"):
        imug_tts.no_such_name  # noqa: B018  (the access is the test)


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys; before = set(sys.modules); import imug_tts; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "transformers", "hydra", "PIL", "asyncio"} & set(done.stdout.split())


@pytest.mark.parametrize("name", [*choices(Strategy)])
def test_a_name_alone_is_the_strategy_that_the_command_line_composes(name: str) -> None:
    config = composed(f"strategy={name}")
    assert describe(build_arm({**config, "strategy": name}).strategy) == describe(build_arm(config).strategy)


def test_knobs_beside_the_name_of_a_composition_replace_its_own() -> None:
    config = composed("strategy=best_of_n_self_verify_cot", "strategy.n=2", "strategy.inner.max_rounds=1")
    inner = {"name": "self_verify_cot", "max_rounds": 1}
    said = {"name": "best_of_n_self_verify_cot", "n": 2, "inner": inner}
    assert describe(build_arm({**config, "strategy": said}).strategy) == describe(build_arm(config).strategy)


def test_an_object_stands_for_itself_wherever_a_component_is_named() -> None:
    inner, model = Direct(image_temperature=0.5), PocketBackbone()
    config = {**composed(), "strategy": {"name": "best_of_n", "inner": inner}, "backbone": model}
    arm = build_arm(config, Shared())
    assert isinstance(arm.strategy, BestOfN)
    assert arm.strategy.inner is inner
    assert arm.backbone is model
