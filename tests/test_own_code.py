"""The hash of a user's own class: it changes with what the class does, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from imug_tts.own_code import code_hash
from imug_tts.registry import describe, identity_of, without_code
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.toys import ToyBackbone
from tests.study.notebooks import STRATEGY, Notebook

CELL = """
import functools
WORDS = {"a": [1, "p"], "s": {"x", "y", "z"}}

class Base:
    LIMIT = 3
    def limit(self):
        return self.LIMIT

def helper(x, *, more=1):
    return len(WORDS) + more

@functools.cache
def kept(x):
    return x + 1

def wrapped(function):
    return lambda *given: function(*given) + 2

@wrapped
def deeper(x):
    return [helper(y) for y in range(x)][0]

class Mine(Base):
    '''What it is.'''
    def __call__(self, x):
        try:
            return kept(x) + deeper(x)
        except ValueError:
            return 0
"""


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    yield Notebook("notebook_of_code")
    del sys.modules["notebook_of_code"]


def hash_of(notebook: Notebook, old: str = "", new: str = "") -> str:
    assert old in CELL
    notebook.run(CELL.replace(old, new) if old else CELL)
    return code_hash(notebook.Mine)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kept(x) + deeper(x)", "kept(x) - deeper(x)"),
        ("return 0", "return 1"),
        ("except ValueError", "except TypeError"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("return self.LIMIT", "return 3"),
        ('"p"', '"q"'),
        ('"x", ', ""),
        ("more=1", "more=2"),
        ("len(WORDS)", "sum(map(len, WORDS))"),
        ("return x + 1", "return x"),
        ("(*given) + 2", "(*given) + 3"),
        ("range(x)][0]", "range(x)][-1]"),
        ("(Base)", ""),
    ],
)
def test_whatever_the_class_does_is_in_its_hash(notebook: Notebook, old: str, new: str) -> None:
    assert hash_of(notebook, old, new) != hash_of(notebook)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    def limit(self):", "    # what follows is short\n\n    def  limit( self ):"),
        ("'''What it is.'''", "'''What it was.'''"),
        ("import functools\n", "import functools\nimport os\nUNUSED = 3\n\ndef unused(): ...\n"),
    ],
)
def test_comments_form_place_and_what_is_not_used_are_not(notebook: Notebook, old: str, new: str) -> None:
    assert hash_of(notebook, old, new) == hash_of(notebook)


def test_a_function_that_is_defined_again_later_counts(notebook: Notebook) -> None:
    first = hash_of(notebook)
    notebook.run("def helper(x, *, more=1):\n    return 0")
    assert code_hash(notebook.Mine) != first


def test_another_process_finds_the_same_hash() -> None:
    ask = "from imug_tts.own_code import code_hash\nprint(code_hash(Last), code_hash(Mine))"
    program = f"{STRATEGY}\n{CELL}\n{ask}"
    found = [
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True
        )
        for seed in ("1", "2")
    ]
    assert found[0].stdout == found[1].stdout != "", found[0].stderr


def test_classes_that_hold_themselves_are_read_to_an_end(notebook: Notebook) -> None:
    notebook.run("ALL = []\nclass Mine:\n    every = ALL\n    def __call__(self):\n        return Mine\n")
    notebook.run("ALL.append(Mine)\nALL.append(ALL)")
    assert len(code_hash(notebook.Mine)) == 8


def test_classes_of_installed_packages_are_known_by_their_name_alone(notebook: Notebook) -> None:
    assert code_hash(Direct) == code_hash(ToyBackbone) == code_hash(subprocess.Popen) == ""
    assert identity_of(BestOfN) == "best_of_n"
    assert identity_of(ToyBackbone) == "imug_tts.testing.toys:ToyBackbone"


def test_an_identity_without_code_is_that_of_every_version(notebook: Notebook) -> None:
    first = describe(notebook.Last(inner=Direct(), n=3))
    notebook.again(**{"[-1]": "[0]"})
    other = describe(notebook.Last(inner=Direct(), n=3))
    assert first != other
    assert without_code(first) == without_code(other)
    assert without_code(other) == {**other, "name": "notebook_of_code:Last"}
