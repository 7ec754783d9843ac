"""The suite asks a model of a user: from the command line, and as a class of the user's own tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imug_tts.backbones.pocket import PocketBackbone
from imug_tts.backbones.pocket.backbone import WEIGHTS
from imug_tts.contracts import ConfigurationError
from imug_tts.testing.conformance import CASES, Script
from tests.conformance.chosen import chosen

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "own_model.md"
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)

FORGETFUL = """
from dataclasses import replace


@component
class Forgetful(MyModel):
    @property
    def capabilities(self) -> Capabilities:
        return replace(MyModel().capabilities, logits=True)
"""
"""A model that declares P(yes) and gives none."""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder on Python's path with the guide's model in the module my_package."""
    model = EXAMPLE.findall(GUIDE.read_text(encoding="utf-8"))[0]
    (tmp_path / "my_package.py").write_text(f"{model}\n{FORGETFUL}")
    return tmp_path


def pytest_run(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(package), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def test_the_guides_model_passes_all_cases(package: Path) -> None:
    named = ("--backbone", "my_package:MyModel", "--backbone-knob", "size=32")
    done = pytest_run(package, "tests/conformance", *named, "--backbone-setting", "contrast=0.5")
    assert done.returncode == 0, done.stdout
    assert f"{len(CASES)} passed" in done.stdout
    assert "knobs_of_one_identity_change_no_result: device: no other value is known" in done.stdout


def test_a_model_that_claims_too_much_fails_the_case_by_name(package: Path) -> None:
    done = pytest_run(package, "tests/conformance", "--backbone", "my_package:Forgetful")
    assert done.returncode == 1
    said = "yes_no_is_answered: my_package:Forgetful: capabilities.logits is True"
    assert said in done.stdout
    assert f"1 failed, {len(CASES) - 1} passed" in done.stdout


@pytest.mark.parametrize(
    ("named", "knobs", "said"),
    [
        ("tests.conformance.toys:Missing", (), "name it as MODULE:CLASS"),
        ("tests.conformance.nowhere:Sketcher", (), "name it as MODULE:CLASS"),
        ("tests.conformance.toys:BROKEN", (), "is no Backbone and no Subject"),
        ("sketchy", (), "there is no 'sketchy'"),
        ("tests.conformance.toys:Sketcher", ("size",), "size: write it as NAME=VALUE"),
        ("tests.conformance.toys:Sketcher", ("size=2",), "size is 2; it must be 4 or more"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(
    named: str, knobs: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)), chosen(named, knobs, ())(tmp_path):
        pass


def test_a_model_of_ours_keeps_its_words_when_a_user_changes_its_knobs(tmp_path: Path) -> None:
    with chosen("pocket", (f"folder={WEIGHTS}",), ())(tmp_path) as subject:
        assert subject.script != Script()
        assert subject.backbone == PocketBackbone(folder=WEIGHTS)


def test_the_suite_is_a_class_of_a_users_own_tests(package: Path) -> None:
    example = EXAMPLE.findall(GUIDE.read_text(encoding="utf-8"))[-1]
    (package / "test_mine.py").write_text(f"from my_package import MyModel, Text\n{example}")
    done = pytest_run(package, str(package / "test_mine.py"), "--rootdir", str(package))
    assert done.returncode == 0, done.stdout
    assert f"{len(CASES)} passed" in done.stdout
