"""The page of reference: complete, up to date, and in plain words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from experiments.check_data import CheckSettings
from experiments.choose_temperatures import ChoiceSettings
from experiments.drivebench import DriveBenchSettings
from experiments.export import ExportSettings
from experiments.reference import OWN, reference
from experiments.score import ScoreSettings
from experiments.type_words import type_in_words
from imug_tts.assemble import RunSettings
from imug_tts.calls import Budget
from imug_tts.contracts import Backbone, ConfigurationError, Judge, Strategy
from imug_tts.knobs import Folder, Several, knobs_of
from imug_tts.registry import GROUPS, component_class, names, source_of
from imug_tts.scoring import Scoring
from imug_tts.serving import Limits, ServiceSettings

ROOT = Path(__file__).parents[2]
RENEW = "python experiments/reference.py imug_tts > docs/reference.md"
SETTINGS = (
    *(RunSettings, ScoreSettings, DriveBenchSettings, CheckSettings),
    *(ExportSettings, ChoiceSettings, ServiceSettings),
)
GROUPS_OF_KNOBS = (Budget, Limits, Scoring)


def our_classes() -> Iterator[type]:
    for kind, group in GROUPS.items():
        yield from (
            component_class(kind, name, group) for name in names(group) if source_of(group, name) == OWN
        )
    yield from (*SETTINGS, *GROUPS_OF_KNOBS)


def test_the_page_in_docs_is_what_the_code_says() -> None:
    there = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert there == reference([OWN]) + "\n", f"docs/reference.md is out of date; renew it: {RENEW}"


@pytest.mark.parametrize("cls", [*our_classes()], ids=lambda cls: cls.__name__)
def test_every_knob_has_a_meaning_and_stands_on_the_page(cls: type) -> None:
    page = reference([OWN])
    for name, knob in knobs_of(cls).items():
        assert knob.meaning.endswith("."), f"{cls.__name__}.{name} needs a meaning: knob('One sentence.')"
        assert f"{name}` |" in page
        assert knob.meaning in page


def test_the_command_prints_the_page() -> None:
    command = [sys.executable, str(ROOT / "experiments" / "reference.py"), OWN]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == reference([OWN]) + "\n"


def test_an_unknown_package_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no components are from 'imug_tt'; did you mean imug_tts"):
        reference(["imug_tt"])


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
