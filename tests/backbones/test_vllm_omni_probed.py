"""Servers of vLLM-Omni that pass over parts of a request are refused or declared before a dialogue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from imug_tts.backbones.vllm_omni import VllmOmniBackbone
from imug_tts.backbones.vllm_omni.families import FamilyName
from imug_tts.contracts import Capabilities, ConfigurationError
from imug_tts.runs import Arm, Run, check_and_probe
from imug_tts.runs.execute import execute
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.omni_server import Faults, OmniServer, omni_server
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import TableJudge

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
IN_PLACE = {"stages": False, "images": 99}


def run_on(server: OmniServer, folder: Path, family: FamilyName = "bagel", n: int = 1) -> Run:
    backbone = VllmOmniBackbone(urls=[server.url], model="umm", family=family, patience_s=0.5)
    strategy = BestOfN(inner=Direct(), judge=TableJudge(scores={}), n=n) if n > 1 else Direct()
    arm = Arm(backbone=backbone, strategy=strategy, benchmark=ToyBenchmark(num_samples=1))
    return Run(arm=arm, folder=folder / "run", config={})


def proven(server: OmniServer, folder: Path, family: FamilyName) -> Capabilities:
    run = run_on(server, folder, family)
    check_and_probe([run], None)
    return run.arm.backbone.capabilities


def test_a_sound_server_keeps_what_its_family_declares(tmp_path: Path) -> None:
    with omni_server() as bagel, omni_server(**IN_PLACE) as sensenova:
        two_stages = proven(bagel, tmp_path, "bagel")
        in_place = proven(sensenova, tmp_path, "sensenova_u1")
    assert (two_stages.context_images, two_stages.seeds, two_stages.seeds_change_images) == (
        1,
        "best_effort",
        True,
    )
    assert not [limit for limit in in_place.limits if limit.startswith("Probed")]
    assert in_place.context_images is None


def test_candidates_of_a_server_whose_images_ignore_the_seed_are_refused(tmp_path: Path) -> None:
    with omni_server(faults=Faults(ignores_seed=True)) as server:
        with pytest.raises(ConfigurationError, match="best_of_4 would sample 4 candidate images"):
            execute([run_on(server, tmp_path, n=4)], journal=tmp_path / "journal")
        assert not (tmp_path / "run").exists()
        execute([run_on(server, tmp_path)], journal=tmp_path / "journal")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["probes"]["generator"]["seed_changes"] is False


@pytest.mark.parametrize(
    ("family", "server", "faults", "images", "limit"),
    [
        (
            "sensenova_u1",
            IN_PLACE,
            Faults(sees="first"),
            None,
            "the newest image of a history does not change",
        ),
        ("sensenova_u1", IN_PLACE, Faults(sees="none"), 0, ""),
        ("bagel", {}, Faults(forgets_assistant=True), 1, "what the assistant wrote before does not change"),
        ("lance", {"stages": False}, Faults(sees="none"), 0, ""),
    ],
)
def test_what_does_not_reach_the_image_is_declared(
    tmp_path: Path,
    family: FamilyName,
    server: dict[str, object],
    faults: Faults,
    images: int | None,
    limit: str,
) -> None:
    with omni_server(**server, faults=faults) as running:
        declared = proven(running, tmp_path, family)
    assert declared.context_images == images
    assert limit in "; ".join(declared.limits)


def test_what_does_not_reach_the_image_stands_below_the_tables(tmp_path: Path) -> None:
    study = tmp_path / "study"
    with omni_server(faults=Faults(forgets_assistant=True)) as server:
        execute([run_on(server, study)], journal=study / "journal")
    command = [sys.executable, "-m", "analysis", str(study)]
    done = subprocess.run(command, cwd=EXPERIMENTS.parent, capture_output=True, text=True, check=True)
    said = " ".join(done.stdout.split())
    assert "Probed: what the assistant wrote before does not change an image" in said
    assert "depends only on the newest image of the history" in said


def dry_run(server: OmniServer, folder: Path, *knobs: str) -> subprocess.CompletedProcess[str]:
    backbone = ("backbone=vllm_omni", f"backbone.urls=[{server.url}]", "backbone.model=umm")
    fixed = ("benchmark=pocket_world", "benchmark.num_samples=2", "judge=backbone", "+dry_run=true")
    command = [sys.executable, str(EXPERIMENTS / "run.py"), *backbone, *fixed, *knobs]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_dry_run_shows_what_probes_found_and_writes_nothing(tmp_path: Path) -> None:
    with omni_server() as server:
        done = dry_run(server, tmp_path, "backbone.dollars_per_call=0.5")
    assert (done.returncode, done.stderr) == (0, "")
    [line] = [line for line in done.stdout.splitlines() if line.startswith("probed ")]
    assert "another seed changes the image: yes; the same seed repeats the image: yes" in line
    assert "an older image has an effect: no; the assistant's text has an effect: yes; 6 calls, $3.00" in line
    assert len(server.asked) == 6
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("faults", "knobs", "status", "words"),
    [
        (Faults(ignores_seed=True), ["strategy=best_of_n"], 2, "every seed gives the same image"),
        (Faults(draws_nothing=True), [], 1, "a call failed: "),
    ],
)
def test_a_dry_run_refuses_what_cannot_work(
    tmp_path: Path, faults: Faults, knobs: list[str], status: int, words: str
) -> None:
    with omni_server(faults=faults) as server:
        done = dry_run(server, tmp_path, *knobs)
    assert done.returncode == status
    assert words in done.stdout + done.stderr
