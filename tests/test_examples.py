"""Property tests give the same result every time: their examples are fixed, and none is thrown away."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

TESTS = Path(__file__).parent


def drawn() -> list[list[int]]:
    """The examples of a property test that is run now."""
    examples: list[list[int]] = []

    @given(st.lists(st.integers()))
    def collect(example: list[int]) -> None:
        examples.append(example)

    collect()
    return examples


def test_examples_are_the_same_in_every_run() -> None:
    assert drawn() == drawn()
    assert settings().database is None


def test_examples_are_built_and_not_filtered() -> None:
    """A strategy that throws too many examples away fails a health check, by chance."""
    thrown_away = re.compile(r"\.filter\(|^from hypothesis import .*\bassume\b", re.MULTILINE)
    others = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    assert not [path.name for path in others if thrown_away.search(path.read_text(encoding="utf-8"))]
