"""The table of models says what their capabilities say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from imug_tts.contracts import Backbone, Remote
from imug_tts.registry import names
from tests.conformance.subjects import MODELS, OF_JUDGES, Subjects

PAGE: Final = (Path(__file__).parents[2] / "docs" / "start" / "models.md").read_text(encoding="utf-8")
ROW: Final = re.compile(r"^\| `(\w+)` \|(.*)\|$", re.MULTILINE)
LIMITS: Final = re.compile(r"^- `(\w+)`: (.*)$", re.MULTILINE)


def rows() -> Mapping[str, list[str]]:
    """The cells of the table by the model's name."""
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in ROW.findall(PAGE)}


def as_users_start_it(backbone: Any) -> Backbone:
    """The model at its default type of numbers; the suite asks most of them in float64."""
    started: Backbone = replace(backbone, dtype="auto") if hasattr(backbone, "dtype") else backbone
    return started


def declared(backbone: Backbone) -> list[str]:
    """What a row must say: where it runs, what it outputs, sees and promises."""
    can = as_users_start_it(backbone).capabilities
    newest = "all" if can.context_images is None else f"the newest {can.context_images}"
    exact = backbone.capabilities.seeds == "exact" != can.seeds
    return [
        "servers" if isinstance(backbone, Remote) else "this process",
        ", ".join(sorted(can.outputs)),
        newest if can.draws_from_images else "none" if "image" in can.outputs else "–",
        "yes" if can.reads_images else "no",
        can.seeds.replace("_", " ") + (" (exact in float64)" if exact else ""),
        "yes" if can.logits else "no",
    ]


@pytest.mark.parametrize("name", MODELS)
def test_the_row_of_a_model_says_what_it_declares(name: str, subjects: Subjects) -> None:
    assert rows()[name][:6] == declared(subjects[name].backbone)


@pytest.mark.parametrize("name", MODELS)
def test_what_a_model_cannot_do_is_said_below_the_table(name: str, subjects: Subjects) -> None:
    limits = as_users_start_it(subjects[name].backbone).capabilities.limits
    assert dict(LIMITS.findall(PAGE)).get(name, "") == " ".join(limits)


def test_every_model_that_answers_has_an_entry_in_the_suite_and_a_row() -> None:
    assert set(MODELS) == set(rows()) == set(names("backbones")) - set(OF_JUDGES)
