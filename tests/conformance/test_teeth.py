"""The suite finds what is wrong with a model, says in which case, and finds nothing else."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest

from imug_tts.testing.conformance import CASES, NotConforming, Subject, check
from tests.conformance.placed import BROKEN_LOCAL, BROKEN_REMOTE, Courier, Resident
from tests.conformance.toys import BROKEN, Sketcher

ALL_BROKEN: dict[type[Sketcher], set[str]] = {**BROKEN, **BROKEN_LOCAL, **BROKEN_REMOTE}


def subject_of(model: Sketcher) -> Subject:
    subject = Subject(backbone=model, others={"paper": "grey"})
    if not isinstance(model, Courier):
        return subject
    return replace(
        subject,
        late=lambda: nullcontext(replace(model, is_late=True)),
        away=lambda: nullcontext(replace(model, is_away=True)),
        others={**subject.others, "is_late": False, "is_away": False},
    )


@pytest.mark.parametrize("model", [Sketcher(), Resident(), Courier()], ids=lambda model: type(model).__name__)
def test_a_model_that_keeps_every_promise_passes_all_cases(model: Sketcher) -> None:
    for name in CASES:
        check(name, subject_of(model))


@pytest.mark.parametrize("broken", ALL_BROKEN, ids=lambda cls: cls.__name__)
def test_a_broken_promise_fails_its_case_by_name(broken: type[Sketcher]) -> None:
    for name in ALL_BROKEN[broken]:
        with pytest.raises(NotConforming, match=f"^{name}: {broken.__name__}: "):
            check(name, subject_of(broken()))


def test_a_knob_without_another_value_says_so() -> None:
    subject = replace(subject_of(Sketcher()), others={})
    assert check("knobs_of_one_identity_change_no_result", subject) == [
        "paper: no other value is known (Subject.others)"
    ]
