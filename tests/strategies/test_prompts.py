"""Prompt sets are complete and contain the placeholders that are filled in."""

from __future__ import annotations

import string

import pytest

from imug_tts.contracts import ConfigurationError
from imug_tts.prompts import NAMES, available, load

PLACEHOLDERS = {
    "follow_plan": {"plan"},
    "follow_reason": {"plan"},
    "check": {"question"},
    "check_all": {"questions"},
    "feedback": {"failed"},
    "score_image": {"instruction", "points"},
    "resolve": {"kind"},
    "unreadable": {"problem", "form"},
}


@pytest.mark.parametrize("set_name", available())
def test_every_set_has_every_prompt_with_its_placeholders(set_name: str) -> None:
    prompts = load(set_name)
    assert tuple(prompts) == NAMES
    for name, text in prompts.items():
        used = {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
        expected = PLACEHOLDERS.get(name, set())
        assert used == (expected if text else set()), name
    assert all(text for name, text in prompts.items() if name != "feedback")


def test_the_pocket_model_is_addressed_in_its_own_words() -> None:
    pocket = load("pocket")
    assert (pocket["plan"], pocket["follow_plan"], pocket["feedback"]) == ("plan", "plan {plan}", "")


def test_an_unknown_set_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="default, pocket"):
        load("nowhere")
