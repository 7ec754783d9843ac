"""A broken component is reported in one line when it is chosen, and affects no other component."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.installing import Bench

REASONS = {
    "backbone=raises": "cannot be loaded: RuntimeError: the drivers are missing",
    "strategy=of_no_kind": "it is no Strategy; derive its class from imug_tts.contracts.Strategy",
    "judge=wrong_default": "the default of questions is 'many'; it must be a whole number",
    "judge=undecorated": "put @component above class Undecorated",
    "benchmark=incomplete": "class Incomplete lacks score",
    "tracking=unknown_limit": "knob(...) has no limit 'gte'; did you mean gt?",
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("broken"), ["broken", "painting"])


@pytest.mark.parametrize("choice", REASONS)
def test_it_names_its_package_when_it_is_chosen(bench: Bench, choice: str) -> None:
    done = bench.experiment("run", choice)
    assert done.returncode == 2
    [said] = done.stderr.splitlines()
    assert f"{choice.split('=')[1]!r} (broken." in said
    assert "declared by broken)" in said
    assert REASONS[choice] in said


def test_it_says_so_whatever_knobs_are_given(bench: Bench) -> None:
    done = bench.experiment("run", "backbone=raises", "backbone.steps=3")
    assert REASONS["backbone=raises"] in done.stderr


def test_it_says_so_where_it_is_a_part(bench: Bench) -> None:
    done = bench.experiment("run", "strategy=best_of_n", "strategy@strategy.inner=of_no_kind")
    assert done.returncode == 2
    assert done.stderr.startswith("strategy.inner: 'of_no_kind' (broken.of_no_kind:OfNoKind")


def test_a_prompt_set_that_lacks_prompts_names_its_package(bench: Bench) -> None:
    done = bench.experiment("run", "backbone=wordless", "benchmark=shades", "strategy=cot")
    assert done.returncode == 2
    assert done.stderr.startswith("the prompt set 'wordless' of broken has no text for follow_plan, reason")


def test_help_and_reference_name_all_of_them_and_show_the_rest(bench: Bench) -> None:
    for done in (bench.experiment("run", "--help"), bench.experiment("reference")):
        assert done.returncode == 0, done.stderr
        assert "painter" in done.stdout
        for reason in REASONS.values():
            assert reason in done.stdout
        assert "the prompt set 'wordless' of broken has no text for" in done.stdout


def test_other_components_run_beside_them(bench: Bench) -> None:
    bench.run("backbone=painter", "benchmark=shades", "strategy=cot", "tracking=none", "study=beside")


def test_a_name_of_ours_stays_ours(bench: Bench, tmp_path: Path) -> None:
    said = bench.run("backbone=painter", "benchmark=shades", "strategy=direct", "study=ours", "+dry_run=true")
    assert "direct: 9 turns" in said
    assert "'direct' (broken.of_no_kind:OfNoKind, declared by broken) cannot be chosen" in bench.run("--help")
