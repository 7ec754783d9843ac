"""`python -m analysis STUDY --wandb`: what is pushed into the group of the study."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imug_tts.contracts import Strategy
from imug_tts.judges import BackboneJudge
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import run
from imug_tts.tracking.wandb import WandbTracker
from tests.tracking.studies import KEY
from tests.tracking.wandb_reader import RunDirectory, directories
from tests.tracking.wandb_server import WandbServer, wandb_server

ROOT = Path(__file__).parents[2]


def analyse(study: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "NETRC"))}
    command = [sys.executable, "-m", "analysis", str(study), "--resamples", "200", "--wandb", *arguments]
    environment = {**kept, "HOME": str(study.parent), **variables}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)


def tracked(folder: Path) -> None:
    """Three arms that were tracked, two of them of one label."""
    arms: dict[str, Strategy] = {
        "direct": Direct(),
        "best": BestOfN(n=2, judge=BackboneJudge(), inner=Direct()),
        "cold": Direct(image_temperature=0.5),
    }
    for name, strategy in arms.items():
        run(folder / name, strategy, journal=folder / "journal", tracker=WandbTracker(mode="offline"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms that were tracked, analysed and pushed."""
    folder = tmp_path_factory.mktemp("pushed") / "study"
    tracked(folder)
    done = analyse(folder)
    assert done.returncode == 0, done.stderr
    last = f"the analysis and intervals of 3 runs, group study; send it with: wandb sync {folder / 'wandb'}"
    assert done.stdout.splitlines()[-2] == f"pushed to wandb: {last}"
    later = f"after syncing the runs, create it with: python -m analysis {folder} --wandb"
    why = "no workspace, because workspaces exist on the wandb server only"
    assert done.stdout.splitlines()[-1] == f"{why}; {later}"
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
    names = {
        "direct": "direct",
        "best": "best_of_2",
        "cold": "direct[image_temperature=0.5]",
    }
    for name, strategy in names.items():
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


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WandbServer, Path]]:
    """A server, and a study in whose name is a quote, that was analysed and pushed to it."""
    folder = tmp_path_factory.mktemp("sent") / "one's study"
    tracked(folder)
    with wandb_server() as server:
        pushed(server, folder)
        yield server, folder


def pushed(server: WandbServer, study: Path, *arguments: str) -> str:
    """Analyse a study and push it to a server; returns the last line that was printed."""
    done = analyse(study, *arguments, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
    assert done.returncode == 0
    assert done.stderr == (
        "pushing the analysis and 3 runs to wandb; for each, the server has 60 s to answer and 300 s to take "
        "the data\n"
    )
    return done.stdout.splitlines()[-1]


def spec_of(server: WandbServer) -> dict[str, Any]:
    [view] = server.views.values()
    section: dict[str, Any] = json.loads(view["spec"])["section"]
    return section


def test_the_workspace_shows_scores_over_turns_own_and_gold_gain_and_cost_and_failures(
    sent: tuple[WandbServer, Path],
) -> None:
    sections = spec_of(sent[0])["panelBankConfig"]["sections"]
    panels = {section["name"]: [panel["config"] for panel in section["panels"]] for section in sections}
    scores = ["own/direct", "own/direct[image_temperature=0.5]", "own/best_of_2"]
    assert panels["Score over turns"][0]["metrics"] == scores
    assert panels["Score over turns"][0]["xAxis"] == "turn"
    assert [panel["metrics"] for panel in panels["Own against gold"]] == [[score] for score in scores]
    images = panels["Gain against cost"][0]
    assert images["xAxis"] == "summary:analysis/cost/images"
    assert images["yAxis"] == "summary:analysis/mean_gain"
    assert panels["Failures"][0]["metrics"] == ["turns/failed", "turns/refused", "turns/unscored"]


def test_the_workspace_shows_the_arms_and_the_latest_analysis_of_its_study(
    sent: tuple[WandbServer, Path],
) -> None:
    [runs] = spec_of(sent[0])["runSets"]
    group, which = runs["filters"]["filters"]
    assert group["value"] == "one's study"
    arms, analysis = (entry["value"] for entry in which["filters"])
    assert arms == "arm"
    assert analysis.startswith("one_s_study-analysis-")


def test_what_the_panels_show_is_in_the_runs(sent: tuple[WandbServer, Path]) -> None:
    server, study = sent
    written = json.loads((study / "analysis" / "analysis.json").read_bytes())
    [analysis] = [run for run in server.runs.values() if run.given.get("jobType") == "analysis"]
    assert analysis.points("turn") == [1, 3]  # an image is asked for in these
    for arm in written["arms"]:
        scores = [found["est"] for found in arm["own"] if found["est"] is not None]
        assert analysis.points(f"own/{arm['strategy']}") == pytest.approx(scores)
    [best] = [run for run in server.runs.values() if "-best-" in run.name]
    costs = {arm["strategy"]: arm["cost"] for arm in written["arms"]}
    assert best.summary["analysis/cost/images"] == costs["best_of_2"]["images"]
    assert best.summary["analysis/mean_gain"] == pytest.approx(
        written["strategies"]["best_of_2"]["mean_gain"]["est"]
    )


def test_another_analysis_changes_the_workspace_that_was_made_before(
    sent: tuple[WandbServer, Path],
) -> None:
    server, study = sent
    [before] = server.views
    shown = spec_of(server)["runSets"][0]["filters"]
    said = pushed(server, study, "--resamples", "201")
    assert said.startswith(f"workspace: {server.url}/someone/imug_tts?nw=")
    assert list(server.views) == [before]
    assert spec_of(server)["runSets"][0]["filters"] != shown


def test_a_workspace_that_was_deleted_is_made_anew(sent: tuple[WandbServer, Path]) -> None:
    server, study = sent
    server.views.clear()
    said = pushed(server, study, "--resamples", "202")
    [view] = server.views.values()
    assert said.endswith(view["name"].removeprefix("nw-").removesuffix("-v"))


def test_files_that_the_server_refuses_are_said_and_pushed_again(sent: tuple[WandbServer, Path]) -> None:
    server, study = sent
    server.refuses = "/put/artifact"
    done = analyse(study, "--resamples", "203", WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
    server.refuses = ""
    assert done.returncode == 2
    assert "analysis: the wandb server refused" in done.stderr
    assert "403 Forbidden: body: no space is left in your plan" in done.stderr
    assert pushed(server, study, "--resamples", "203").startswith("workspace: ")


def test_an_analysis_that_was_sent_later_and_pushed_again_is_there_once(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    tracked(folder)
    assert analyse(folder).returncode == 0
    with wandb_server() as server:
        command = [sys.executable, "-m", "wandb", "sync", str(folder / "wandb")]
        account = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url, "HOME": str(tmp_path)}
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **account}, timeout=60)
        pushed(server, folder)
        [analysis] = [run for run in server.runs.values() if run.given.get("jobType") == "analysis"]
        assert analysis.points("turn") == sorted(set(analysis.points("turn")))
        assert len([line for line in analysis.history if "findings" in line]) == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
