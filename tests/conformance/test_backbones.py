"""Every backbone keeps every promise of the contract, as far as it can be seen on it."""

from __future__ import annotations

import pytest

from imug_tts.testing.conformance import CASES, check
from tests.conformance.subjects import Subjects


@pytest.mark.parametrize("case", CASES)
def test_case(
    case: str, subject_name: str, subjects: Subjects, reasons: dict[tuple[str, str], list[str]]
) -> None:
    for reason in check(case, subjects[subject_name]):
        reasons.setdefault((case, reason), []).append(subject_name)
