"""The page of reference: complete, up to date, and in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from experiments.reference import PAGES, main
from experiments.reference_pages.commands import commands, commands_page, settings_of
from experiments.reference_pages.components import OWN, component_pages
from experiments.reference_pages.knobs import PIPE
from experiments.reference_pages.outcomes import EXIT_STATUSES, outcomes_page
from experiments.type_words import type_in_words
from imug_tts.calls import Budget
from imug_tts.contracts import Backbone, Judge, Strategy
from imug_tts.contracts.record import OUTCOMES
from imug_tts.knobs import Folder, Several, component, knob, knobs_of
from imug_tts.registry import GROUPS, component_class, names, source_of
from imug_tts.scoring import Scoring
from imug_tts.serving import Limits

ROOT = Path(__file__).parents[2]
RENEW = "python experiments/reference.py --into docs/reference"
GROUPS_OF_KNOBS = (Budget, Limits, Scoring)


def our_classes() -> Iterator[type]:
    for kind, group in GROUPS.items():
        yield from (
            component_class(kind, name, group) for name in names(group) if source_of(group, name) == OWN
        )
    yield from (*settings_of().values(), *GROUPS_OF_KNOBS)


@pytest.fixture(scope="module")
def knobs_in_docs() -> str:
    return "\n".join([*component_pages([OWN]).values(), commands_page()])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_docs_is_what_the_code_says(name: str) -> None:
    there = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert there == PAGES[name]() + "\n", f"docs/reference/{name} is out of date; renew it: {RENEW}"


@pytest.mark.parametrize("cls", [*our_classes()], ids=lambda cls: cls.__name__)
def test_every_knob_has_a_meaning_and_stands_on_a_page(cls: type, knobs_in_docs: str) -> None:
    assert without_meaning(cls) == [], "a knob needs a meaning: knob('One sentence.')"
    for name, declared in knobs_of(cls).items():
        assert f"{name}` |" in knobs_in_docs
        assert declared.meaning.replace("|", PIPE) in knobs_in_docs


def without_meaning(cls: type) -> list[str]:
    return [name for name, declared in knobs_of(cls).items() if not declared.meaning.endswith(".")]


def test_a_knob_without_a_meaning_is_found() -> None:
    @component
    class Silent:
        said: int = knob("What it is.", default=1)
        unsaid: int = 2

    assert without_meaning(Silent) == ["unsaid"]


def test_every_option_of_a_command_has_a_meaning() -> None:
    rows = [line for line in commands_page().splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_script_that_is_started_is_on_the_page_of_commands() -> None:
    page = commands_page()
    assert {f"experiments/{name}.py" for name in settings_of()} <= set(commands())
    assert [command for command in commands() if f"\n## {command}\n" not in page] == []


def test_every_outcome_and_exit_status_is_explained() -> None:
    page = outcomes_page()
    assert [name for name in (*OUTCOMES, *map(str, EXIT_STATUSES)) if name not in page] == []


def test_the_command_prints_the_components_of_a_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([OWN]) == 0
    printed = capsys.readouterr().out
    assert [page for page in component_pages([OWN]).values() if page not in printed] == []


def test_the_command_writes_all_pages(tmp_path: Path) -> None:
    assert main(["--into", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)


def test_an_unknown_package_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["imug_tt"]) == 2
    assert "no components are from 'imug_tt'; did you mean imug_tts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (float | None, "a number or null"),
        (str, "text"),
        (bool, "true or false"),
        (Folder, "a path"),
        (Folder | None, "a path or null"),
        (Literal["own", "gold"], "one of: own, gold"),
        (Several[str], "list of texts"),
        (Several[Literal["text", "image"]], "list of: text, image"),
        (Several[int] | None, "list of whole numbers or null"),
        (Mapping[str, bool | float | str], "mapping of names to values (true or false, a number or text)"),
        (Strategy, "a strategy"),
        (Several[Judge], "list of judges"),
        (Backbone | None, "a backbone or null"),
        (Budget, "a group of knobs"),
    ],
)
def test_types_are_in_plain_words(hint: Any, words: str) -> None:
    assert type_in_words(hint) == words
