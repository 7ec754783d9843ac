"""`python -m analysis STUDY --wandb`: what is pushed into the group of the study."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imug_tts.contracts import Strategy
from imug_tts.judges import BackboneJudge
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import run
from imug_tts.tracking.wandb import WandbTracker
from tests.tracking.wandb_reader import RunDirectory, directories

ROOT = Path(__file__).parents[2]


def analyse(study: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "NETRC"))}
    command = [sys.executable, "-m", "analysis", str(study), "--resamples", "200", "--wandb", *arguments]
    environment = {**kept, "HOME": str(study.parent)}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms that were tracked, analysed and pushed."""
    folder = tmp_path_factory.mktemp("pushed") / "study"
    arms: dict[str, Strategy] = {
        "direct": Direct(),
        "best": BestOfN(n=2, judge=BackboneJudge(), inner=Direct()),
    }
    for name, strategy in arms.items():
        run(folder / name, strategy, journal=folder / "journal", tracker=WandbTracker(mode="offline"))
    done = analyse(folder)
    assert done.returncode == 0, done.stderr
    last = f"the analysis and intervals of 2 runs, group study; send it with: wandb sync {folder / 'wandb'}"
    assert done.stdout.splitlines()[-1] == f"pushed to wandb: {last}"
    return folder


@pytest.fixture(scope="module")
def parts(study: Path) -> list[RunDirectory]:
    return directories(study)


def test_tables_figures_and_findings_are_a_run_in_the_group_of_the_study(
    study: Path, parts: list[RunDirectory]
) -> None:
    [pushed] = [part for part in parts if part.run["job_type"] == "analysis"]
    assert (pushed.run["run_group"], pushed.run["display_name"]) == ("study", "analysis")
    written = json.loads((study / "analysis" / "analysis.json").read_bytes())
    for name, sentence in written["sentences"].items():
        assert pushed.summary[f"findings/{name}"] == sentence
        assert pushed.summary[f"analysis/{name}/mean"] == pytest.approx(
            written["strategies"][name]["mean"]["est"]
        )
    for path in (study / "analysis" / "tables").glob("*.md"):
        rows = [line for line in path.read_text().splitlines() if line.startswith("|")]
        assert pushed.summary[f"tables/{path.stem}.nrows"] == len(rows) - 2
    for path in (study / "analysis" / "figures").glob("*.png"):
        assert pushed.media(pushed.summary[f"figures/{path.stem}.path"]).is_file()
    files = pushed.artifacts["analysis"]
    assert files["report.html"] == (study / "analysis" / "report.html").read_bytes()
    assert "tables/T1_main.md" in files


def test_the_intervals_of_each_arm_are_in_its_own_run(study: Path, parts: list[RunDirectory]) -> None:
    written = json.loads((study / "analysis" / "analysis.json").read_bytes())["strategies"]
    for name, strategy in {"direct": "direct", "best": "best_of_2"}.items():
        own = [part for part in parts if part.run["run_id"].startswith(f"study-{name}-")]
        assert len({part.run["run_id"] for part in own}) == 1
        told, pushed = sorted(own, key=lambda part: "analysis/mean" in part.summary)
        assert told.summary["final/scored"] == 24
        assert pushed.summary["analysis/mean"] == pytest.approx(written[strategy]["mean"]["est"])
        low, high = written[strategy]["mean"]["ci"]
        assert pushed.summary["analysis/mean/low"] == pytest.approx(low)
        assert pushed.summary["analysis/mean/high"] == pytest.approx(high)
        assert not pushed.history


def test_an_analysis_is_pushed_once(study: Path) -> None:
    before = sorted((study / "wandb").glob("*run-*"))
    done = analyse(study)
    assert done.stdout.splitlines()[-1] == "pushed to wandb before: this analysis, group study"
    assert sorted((study / "wandb").glob("*run-*")) == before


def test_a_wandb_that_fails_is_named_after_the_analysis_is_written(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb.py").write_text("raise ImportError('half of it is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = analyse(study, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.strip() == "analysis: wandb failed: ImportError: half of it is missing"
    assert (tmp_path / "out" / "report.html").is_file()
