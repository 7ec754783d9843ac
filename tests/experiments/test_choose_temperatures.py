"""The choice of temperatures: a model that draws well at one temperature alone, and its best is found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.one_module import install

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PLUGIN = '''
from functools import cached_property

import numpy as np

from imug_tts.backbones.pocket import PocketBackbone
from imug_tts.contracts import Backbone, Candidate
from imug_tts.dialogue import Image
from imug_tts.knobs import component, knob


@component
class Moody(Backbone):
    """The pocket model, which draws at one temperature, and paints blank pictures at all others."""

    best: float = knob("The good temperature.")

    @cached_property
    def model(self):
        return PocketBackbone()

    @property
    def identity(self):
        return f"moody:{self.best}"

    @property
    def capabilities(self):
        return self.model.capabilities

    def generate(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        if request.modality == "image" and request.sampling.temperature != self.best:
            blank = Image.from_pixels(np.zeros((64, 64, 3), np.uint8))
            return [Candidate(output=blank) for _ in request.seeds]
        (drawn,) = self.model.generate([request])
        return drawn
'''


def do(name: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXPERIMENTS / name), *arguments, "tracking=none"]
    environment = os.environ | {"PYTHONPATH": str(home / "packages")}
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)


def choose(home: Path, best: float, *arguments: str) -> subprocess.CompletedProcess[str]:
    small = ["backbone=moody", f"backbone.best={best}", "benchmark.num_samples=6", "arms=[direct,best_of_n]"]
    return do("choose_temperatures.py", home, *small, *arguments)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    install(folder / "packages", "moody", PLUGIN, {"backbones.moody": "Moody"})
    return folder


@pytest.fixture(scope="module")
def chosen(home: Path) -> subprocess.CompletedProcess[str]:
    """The choice where 0.5 is best, written into a folder of configurations."""
    return choose(home, 0.5, "temperatures=[1,0.5,0]", "into=conf")


def best_of(said: str, arm: str) -> str:
    """The temperature that the command calls the best of an arm."""
    (block,) = re.findall(rf"^{arm}\n((?:  .*\n)+)", said, re.MULTILINE)
    (found,) = re.findall(r"^  (\S+): .*, the best$", block, re.MULTILINE)
    return str(found)


def test_each_strategy_gets_the_temperature_that_is_best_for_it(
    chosen: subprocess.CompletedProcess[str],
) -> None:
    assert (chosen.returncode, chosen.stderr) == (0, "")
    assert best_of(chosen.stdout, "direct") == best_of(chosen.stdout, "best_of_n") == "0.5"
    leads = re.findall(
        r"the best is \+([\d.]+) \[[\d.]+, [\d.]+\] from it, shown$", chosen.stdout, re.MULTILINE
    )
    assert len(leads) == 3  # direct over 0 and 1, best_of_n over 1
    assert all(float(lead) > 20 for lead in leads)


def test_a_strategy_that_picks_among_draws_is_not_tried_where_they_would_be_one(
    chosen: subprocess.CompletedProcess[str],
) -> None:
    (line,) = re.findall("^.* is omitted at .*$", chosen.stdout, re.MULTILINE)
    assert line.startswith("best_of_n is omitted at image_temperature 0: best_of_4 would sample 4 identical")


def test_only_validation_dialogues_are_answered(home: Path, chosen: subprocess.CompletedProcess[str]) -> None:
    manifests = [path.read_text() for path in (home / "runs" / "temperatures").glob("*/manifest.json")]
    assert len(manifests) == 5
    assert all('"pocket_world:1:validation:' in manifest for manifest in manifests)


def test_the_study_that_is_written_runs_each_strategy_at_its_temperature_on_test_dialogues(
    home: Path, chosen: subprocess.CompletedProcess[str]
) -> None:
    whole = home / "whole"
    shutil.copytree(EXPERIMENTS.parent / "conf", whole)
    shutil.copytree(home / "conf", whole, dirs_exist_ok=True)
    study = [f"--config-path={whole}", "-m", "experiment=study_tuned"]
    done = do("run.py", home, *study, "backbone=moody", "backbone.best=0.5", "benchmark.num_samples=3")
    assert (done.returncode, done.stderr) == (0, "")
    runs = sorted(path.name.rpartition("-")[0] for path in (home / "runs" / "study_tuned").glob("*-*"))
    assert runs == ["best_of_4+direct_image_temperature_0.5_"] * 2 + ["direct_image_temperature_0.5_"] * 2
    assert "experiments/choose_temperatures.py backbone=moody" in (
        home / "conf" / "experiment" / "study_tuned.yaml"
    ).read_text(encoding="utf-8")


def test_of_equal_temperatures_the_lower_is_chosen(home: Path) -> None:
    done = choose(home, 0.5, "temperatures=[1.3,0.7]", "study=ties")
    assert (done.returncode, best_of(done.stdout, "direct")) == (0, "0.7")
    assert "the best is +0.0 [0.0, 0.0] from it, not shown" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["benchmark.split=test"], "benchmark.split is 'test', but a temperature chosen on test"),
        (["temperatures=[0.5]"], "temperatures"),
        (["temperatures=[0,-1]"], "image_temperature"),
        (["arms=[direct,greedy]"], "arms: two arms are the same strategy; name each once"),
        (["arms=[direkt]"], "strategy: there is no 'direkt'; did you mean direct"),
    ],
)
def test_what_cannot_be_chosen_is_refused_before_any_run(home: Path, arguments: list[str], said: str) -> None:
    done = choose(home, 0.5, *arguments, "study=refused")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (home / "runs" / "refused").exists()


def test_the_study_that_ships_has_the_temperatures_that_it_states(home: Path) -> None:
    command = ("-m", "experiment=study_tuned", "study=shipped", "benchmark.num_samples=3", "+dry_run=true")
    done = do("run.py", home, *command)
    text = (EXPERIMENTS.parent / "conf" / "experiment" / "study_tuned.yaml").read_text(encoding="utf-8")
    stated = re.findall(r"(\w+) (\d[\d.]*)[,.]", text)
    assert done.returncode == 0
    assert len(stated) == len(re.findall(r"tuned/\w+", text)) > 1
    shown = re.findall(r"^(\S+?)  history=own", done.stdout, re.MULTILINE)
    assert len(shown) == len(stated)
    for label, (_, temperature) in zip(shown, stated, strict=True):
        known = re.search(r"image_temperature=([\d.]+)", label)
        assert float(known[1] if known else 1) == float(temperature)
