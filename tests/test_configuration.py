"""From plain configurations to objects: names, knobs, identity, secrets; and every file of conf/."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

import imug_tts
from imug_tts.assemble import (
    IDENTITY,
    RUNTIME,
    build_arm,
    build_backbone,
    build_options,
    build_tracker,
    component,
    component_names,
    digest,
    identity,
    refuse_secrets,
)
from imug_tts.composition import is_oracle, label
from imug_tts.contracts import ConfigurationError

CONF = Path(__file__).parents[1] / "conf"
GROUPS = {
    "backbone": "backbones",
    "strategy": "strategies",
    "judge": "judges",
    "benchmark": "benchmarks",
    "tracking": "tracking",
}
CHOICES = [(group, file.stem) for group in GROUPS for file in sorted((CONF / group).glob("*.yaml"))]
SHIPPED = [(group, name) for group in GROUPS.values() for name in component_names(group)]


def composed(*overrides: str) -> dict[str, Any]:
    return deepcopy(_composed(*overrides))


@cache
def _composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def nodes(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every component's node of a configuration."""
    if "name" in config:
        yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from nodes(value)


def keys(config: Mapping[str, Any]) -> set[str]:
    below = [keys(value) for value in config.values() if isinstance(value, Mapping)]
    return set(config).union(*below)


def knobs_of(cls: type) -> dict[str, object]:
    """A component's knobs with their defaults; parts that it is handed have none."""
    defaults = {f.name: f.default for f in fields(cls) if f.init} if is_dataclass(cls) else {}
    return {name: default for name, default in defaults.items() if default is not MISSING}


def plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_every_choice_composes_and_builds(group: str, name: str) -> None:
    config = composed(f"{group}={name}")
    build_arm(config)
    build_tracker(config["tracking"])
    build_options(config)


@pytest.mark.parametrize(("group", "name"), SHIPPED)
def test_files_list_every_knob_with_the_default_of_the_code(group: str, name: str) -> None:
    folder = next(key for key, value in GROUPS.items() if value == group)
    node = dict(composed(f"{folder}={name}")[folder])
    assert node.pop("name") == name
    if name == "none" and group == "judges":
        assert node == {}
        return
    expected = {knob: plain(value) for knob, value in knobs_of(component(group, name, group)).items()}
    assert {knob: value for knob, value in node.items() if knob not in ("inner", "judge")} == expected


def test_every_key_is_classified_as_identity_or_runtime() -> None:
    in_files = set().union(*(keys(composed(f"{group}={name}")) for group, name in CHOICES))
    in_code = {
        knob
        for group, name in SHIPPED
        if (group, name) != ("judges", "none")
        for knob in knobs_of(component(group, name, group))
    }
    assert in_files | in_code == IDENTITY | RUNTIME, "put new knobs into IDENTITY or RUNTIME"
    assert not IDENTITY & RUNTIME


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
        (["strategy=best_of_n_cot", "strategy.judge={name: exact}"], "oracle_best_of_4+cot"),
    ],
)
def test_strategies_nest_through_overrides(overrides: list[str], name: str) -> None:
    strategy = build_arm(composed(*overrides)).strategy
    assert label(strategy) == name
    assert is_oracle(strategy) == name.startswith("oracle")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"strategy": {"name": "bestofn"}}, ["strategy: there is no 'bestofn'", "did you mean best_of_n?"]),
        ({"strategy": {"name": "direct", "nn": 8}}, ["strategy direct has no knob 'nn'"]),
        (
            {"strategy": {"name": "cot", "plan_token": 8, "inner": {"name": "direct"}}},
            ["strategy cot has no knob 'plan_token'", "did you mean plan_tokens?"],
        ),
        ({"strategy": {"name": "cot"}}, ["strategy cot: inner must be set"]),
        ({"strategy": {"name": "cot", "inner": "direct"}}, ["strategy.inner is 'direct'", "{name: NAME"]),
        (
            {"strategy": {"name": "cot", "inner": {"name": "dirct"}}},
            ["strategy.inner: there is no 'dirct'", "did you mean direct?"],
        ),
        (
            {"strategy": {"name": "direct", "max_tokens": "many"}},
            ["strategy.max_tokens is 'many'", "a whole number"],
        ),
        ({"strategy": {"name": "direct", "max_tokens": True}}, ["strategy.max_tokens is True"]),
        ({"strategy": {"name": "direct", "max_tokens": 0}}, ["strategy: ", "max_tokens is 0"]),
        ({"judge": {"name": "exat"}}, ["judge: there is no 'exat'", "did you mean exact?"]),
        ({"judge": {"name": "none", "n": 1}}, ["judge none has no knob 'n'", "it has none"]),
        ({"benchmark": {"name": "pocket_world", "classes": ["hybird"]}}, ["did you mean hybrid?"]),
        ({"benchmark": {"name": "pocket_world", "classes": "hybrid"}}, ["benchmark.classes=[hybrid]"]),
        ({"history": "gld"}, ["history is 'gld'", "did you mean gold?"]),
        ({"seed": "one"}, ["seed is 'one'", "a whole number"]),
        ({"budget": {"images": 0, "texts": None}}, ["budget: ", "budget.images is 0"]),
        ({"budget": {"image": 3}}, ["budget has no knob 'image'", "did you mean images?"]),
        ({"roles": {"planer": None}}, ["roles has no role 'planer'", "did you mean planner?"]),
        ({"histroy": "own"}, ["the configuration has no knob 'histroy'", "did you mean history?"]),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest_right_name(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as error:
        build_arm(composed() | config)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"study": "../elsewhere"}, "study is '../elsewhere'"),
        ({"in_flight": 0}, "in_flight is 0"),
        ({"output": ["a"]}, "output is .*; it must be a path"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build_options(composed() | options)


def test_an_output_may_look_like_a_number() -> None:
    assert build_options(composed("output=3")).output == Path("3")


def test_backbones_and_benchmarks_of_equal_configuration_are_built_once() -> None:
    shared: dict[str, Any] = {}
    one = build_arm(composed("strategy=cot", "backbone@roles.planner=pocket"), shared)
    two = build_arm(composed("strategy=oracle_best_of_n", "history=gold"), shared)
    other = build_arm(composed("benchmark.classes=[hybrid]"), shared)
    assert one.backbone is two.backbone is one.roles["planner"]
    assert one.benchmark is two.benchmark is not other.benchmark


def test_a_strategy_without_a_judge_is_refused_where_it_needs_one() -> None:
    with pytest.raises(ConfigurationError, match="needs a judge"):
        build_arm(composed("strategy=best_of_n", "judge=none"))
    build_arm(composed("strategy=cot", "judge=none"))


def test_identity_leaves_out_how_a_run_is_done_and_nothing_else() -> None:
    config = composed()
    runtime = composed("output=/elsewhere", "study=x", "in_flight=3", "tracking=none")
    assert identity(runtime) == identity(config)
    for change in (
        "seed=1",
        "history=gold",
        "strategy.max_tokens=9",
        "benchmark.num_samples=9",
        "judge=none",
    ):
        assert digest(identity(composed(change))) != digest(identity(config))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values))
def test_digest_sees_neither_order_nor_the_kind_of_a_sequence(config: dict[str, Any]) -> None:
    turned = {key: config[key] for key in reversed(config)}
    turned = {key: tuple(value) if isinstance(value, list) else value for key, value in turned.items()}
    assert digest(turned) == digest(config)


def test_digest_takes_one_and_one_point_zero_for_the_same() -> None:
    assert digest({"temperature": 1}) == digest({"temperature": 1.0}) != digest({"temperature": 1.5})


@pytest.mark.parametrize(
    "config",
    [
        {"judge": {"api_key": "x"}},
        {"judge": {"openai_api_key": "x"}},
        {"backbone": {"token": "x"}},
        {"backbone": {"hf_token": "x"}},
        {"a": {"b": {"password": "x"}}},
        {"judge": {"model": "sk-abcdefghijklmnop"}},
        {"backbone": {"urls": ["http://me:secret@host/infer"]}},
    ],
)
def test_secrets_are_refused_without_being_repeated(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="environment") as error:
        refuse_secrets(config)
    assert "secret@" not in str(error.value)
    assert "abcdefghijklmnop" not in str(error.value)


def test_what_only_sounds_like_a_secret_passes() -> None:
    refuse_secrets({"max_tokens": 3, "api_key": None, "urls": ["http://host:8000/infer"], "keep_plan": True})


def test_a_backbone_is_loaded_by_name() -> None:
    assert imug_tts.load_backbone("pocket").capabilities == build_backbone({"name": "pocket"}).capabilities
    with pytest.raises(ConfigurationError, match="did you mean pocket"):
        imug_tts.load_backbone("poket")


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
