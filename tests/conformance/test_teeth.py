"""The suite finds what is wrong with a model, says in which case, and finds nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imug_tts.testing.conformance import CASES, NotConforming, Subject, check
from tests.conformance.toys import BROKEN, Sketcher


def failing(subject: Subject) -> dict[str, str]:
    """What each case that a model fails says."""
    said = {}
    for name in CASES:
        try:
            check(name, subject)
        except NotConforming as error:
            said[name] = str(error)
    return said


def subject_of(model: Sketcher) -> Subject:
    return Subject(backbone=model, others={"paper": "grey"})


def test_a_model_that_keeps_every_promise_passes_all_cases() -> None:
    assert failing(subject_of(Sketcher())) == {}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda cls: cls.__name__)
def test_a_broken_promise_fails_its_case_by_name(broken: type[Sketcher]) -> None:
    found = failing(subject_of(broken()))
    assert BROKEN[broken] <= set(found)
    for name in BROKEN[broken]:
        assert found[name].startswith(f"{name}: {broken.__name__}: ")


def test_a_knob_without_another_value_says_so() -> None:
    subject = replace(subject_of(Sketcher()), others={})
    assert check("knobs_of_one_identity_change_no_result", subject) == [
        "paper: no other value is known (Subject.others)"
    ]
