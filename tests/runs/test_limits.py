"""Caveats of a model accompany its results: in a warning, the manifest, tables and the report."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.__main__ import main as analyse
from imug_tts.contracts import Capabilities
from imug_tts.records import read_manifest
from imug_tts.runs import Arm, Run, execute
from imug_tts.runs.limits import ModelLimitsWarning, caveats
from imug_tts.strategies import Direct
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone

EDITS = "It was not trained to edit images."
LIMITED = replace(CAPABILITIES, context_images=1, limits=(EDITS,), seeds="best_effort")


def played(folder: Path, capabilities: Capabilities, seeds: int = 1) -> Path:
    model = ToyBackbone(identity="painter:1", capabilities=capabilities)
    arms = [Arm(backbone=model, strategy=Direct(), benchmark=ToyBenchmark(), seed=n) for n in range(seeds)]
    runs = [Run(arm=arm, folder=folder / f"run{arm.seed}", config={}) for arm in arms]
    execute(runs, journal=folder / "journal")
    return folder / "run0"


def test_a_run_warns_once_of_each_model_with_limits(tmp_path: Path) -> None:
    with pytest.warns(ModelLimitsWarning) as warned:
        played(tmp_path, LIMITED, seeds=2)
    [warning] = warned
    said = str(warning.message)
    assert said.startswith(f"painter:1: {EDITS}")
    assert "the newest image of the history" in said
    assert "seeds" not in said


def test_a_run_of_models_without_limits_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = played(tmp_path, CAPABILITIES)
    assert read_manifest(run).caveats == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"context_images": 3}, ["depends on the newest 3 images"]),
        ({"context_images": 0}, ["depends on no image before it"]),
        ({"context_images": 1, "outputs": frozenset({"text"})}, []),
        ({"seeds": "none"}, ["There are no seeds"]),
        ({"seeds": "best_effort"}, ["Seeds are best effort"]),
        ({}, []),
    ],
)
def test_what_is_said_of_a_model(changes: dict[str, object], words: list[str]) -> None:
    found = caveats(replace(CAPABILITIES, **changes))  # type: ignore[arg-type]
    assert len(found) == len(words)
    assert all(part in sentence for part, sentence in zip(words, found, strict=True))


def test_the_manifest_keeps_them_by_identity_and_old_ones_have_none(tmp_path: Path) -> None:
    run = played(tmp_path, LIMITED)
    known = read_manifest(run).caveats
    assert list(known) == ["painter:1"]
    assert known["painter:1"][0] == EDITS
    assert "best effort" in known["painter:1"][-1]
    path = run / "manifest.json"
    stored = json.loads(path.read_bytes())
    del stored["caveats"], stored["digest"]
    path.write_text(json.dumps(stored))
    assert read_manifest(run).caveats == {}


def test_pasted_tables_and_the_report_carry_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    played(tmp_path, LIMITED)
    assert analyse([str(tmp_path), "--resamples", "100"]) == 0
    out = tmp_path / "analysis"
    note = f"painter: {EDITS} An image that it draws"
    assert note in " ".join(capsys.readouterr().out.split())
    for table in ("T1_main", "T1b_text"):
        for kind in ("md", "tex"):
            assert note in (out / "tables" / f"{table}.{kind}").read_text(), table
    assert f'<p class="warning">{note}' in (out / "report.html").read_text()
    assert json.loads((out / "analysis.json").read_bytes())["caveats"]["painter:1"][0] == EDITS
