"""A package of its own adds one component of every kind, each by one file and one entry point and no YAML.

Its files, in `painting/`, can be read as templates.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imug_tts.records import read_turns
from tests.plugins.installing import Bench

CHOSEN = (
    *("backbone=painter", "benchmark=shades", "strategy=workshop"),
    *("strategy@strategy.refiner=cot", "judge@strategy.critic=shade_reward"),
    *("strategy.rounds=3", "strategy.draft.settings={light: 5}", "tracking=[console,ledger]"),
)
LABEL = "workshop[rounds=3,critic=shade_reward,draft=direct[settings=light:5],refiner=cot]"


def bench(home: Path) -> Bench:
    return Bench(home, ["painting"])


def turns(run: Path) -> list[dict[str, Any]]:
    return [line.record for line in read_turns(run)]


def manifest(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return found


def runs(study: Path) -> list[Path]:
    return sorted(path.parent for path in study.glob("*/manifest.json"))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench on which a study of two arms was made and analysed."""
    made = bench(tmp_path_factory.mktemp("plugin"))
    made.run(*CHOSEN, "study=painted", "strategy.critic.batches=batches.txt")
    made.run("backbone=painter", "benchmark=shades", "study=painted", "tracking=none")
    done = made.command("-m", "analysis", "runs/painted")
    assert done.returncode == 0, done.stderr
    (made.home / "tables.txt").write_text(done.stdout)
    return made


@pytest.fixture(scope="module")
def arm(played: Bench) -> Path:
    """The folder of the run that the plugin's strategy made."""
    [folder] = (played.home / "runs" / "painted").glob("workshop*")
    return folder


def test_help_lists_its_choices_and_their_knobs(tmp_path: Path) -> None:
    said = bench(tmp_path).run(*CHOSEN, "--help")
    groups = {line.split(":")[0].strip(): line for line in said.splitlines() if line.startswith("  ")}
    for group, name in {"backbone": "painter", "strategy": "workshop", "judge": "shade_reward"}.items():
        assert name in groups[group]
    assert "shades" in said
    for line in (
        "device: cpu  # Where the model runs. (changes no result)",
        "steps: 20  # Steps of one painting. (1 or more; 100 or less)",
        "rounds: 3  # Tries after the draft. (1 or more; 8 or less)",
        "gain: 1.0  # Factor of every reward. (above 0)",
        "step: 40  # Difference of the shades of two dialogues. (1 or more; 60 or less)",
        "file: ledger.jsonl  # The file of the events. (changes no result)",
        "light: 0.0  # Light on the painting, in shades. (-50 or more; 50 or less)",
    ):
        assert line in said


def test_a_dry_run_counts_the_calls_to_its_models(tmp_path: Path) -> None:
    said = bench(tmp_path).run(*CHOSEN, "+dry_run=true")
    assert f"{LABEL}: 9 turns; images: 24" in said
    assert "calls to painter:1: generator 36, planner 27" in said
    assert "calls to shade-reward:1: verifier" in said
    assert "workshop: selected by shade_reward" in said
    assert not (tmp_path / "runs").exists()


def test_the_manifest_names_its_components(arm: Path) -> None:
    stored = manifest(arm)
    assert stored["strategy"] == LABEL
    assert stored["backbone"] == "painter:1"
    assert stored["benchmark"] == "shades:1:40"
    assert stored["models"] == {
        "generator": "painter:1",
        "planner": "painter:1",
        "strategy.critic": "shade-reward:1",
    }
    assert stored["versions"]["painting"] == "1.0"
    [judge] = stored["judges"]
    assert (judge["place"], judge["use"], judge["kind"]) == ("strategy.critic", "selects", "reward")
    assert stored["identity"]["strategy"] == {
        "name": "workshop",
        "draft": {"name": "direct", "settings": {"light": 5}},
        "refiner": {"name": "cot", "inner": {"name": "direct"}},
        "critic": {"name": "shade_reward"},
        "rounds": 3,
    }


def test_records_hold_candidates_rewards_scores_and_what_the_judge_cost(arm: Path) -> None:
    records = turns(arm)
    assert len(records) == 9
    for record in records:
        assert record["outcome"] == "scored"
        candidates = record["response"]["candidates"]
        assert [one["strategy"] for one in candidates] == ["direct", "cot", "cot", "cot"]
        assert {one["verdict"]["kind"] for one in candidates} == {"reward"}
        rewards = [one["verdict"]["score"] for one in candidates]
        assert record["response"]["chosen"] == rewards.index(max(rewards))
        judged = len({json.dumps(one["output"]) for one in candidates})
        assert record["cost"]["judge"]["calls"] == judged
        assert record["cost"]["judge"]["prompt_tokens"] == 64 * judged
    drawn = [record for record in records if record["modality"] == "image"]
    assert all(record["cost"]["generator"]["denoise_steps"] == 4 * 20 for record in drawn)
    assert all(record["score"] == 1 - record["score_detail"]["off_by"] / 255 for record in drawn)


def test_its_prompt_set_is_what_its_model_is_asked_in(arm: Path) -> None:
    assert {one["plan"] for record in turns(arm) for one in record["response"]["candidates"][1:]} >= {
        "With care."
    }


def test_rewards_are_batched_over_dialogues_and_never_asked_twice(played: Bench, arm: Path) -> None:
    asked = [int(line) for line in (played.home / "batches.txt").read_text().split()]
    assert max(asked) > 1
    assert sum(asked) == sum(record["cost"]["judge"]["calls"] for record in turns(arm))
    # Another folder, and the same journal: every call of both models is answered by it.
    other = ("strategy.critic.batches=again.txt", "score_candidates=false")
    played.run(*CHOSEN, "study=painted", "tracking=none", *other)
    assert not (played.home / "again.txt").exists()
    for run in runs(played.home / "runs" / "painted"):
        if "workshop" in run.name and run != arm:
            assert json.loads((run / "summary.json").read_text())["last_start"]["spent"]["calls"] == 0


def test_its_tracker_is_told(played: Bench, arm: Path) -> None:
    events = [json.loads(line) for line in (played.home / "ledger.jsonl").read_text().splitlines()]
    assert events[0] == {"event": "start", "runs": [arm.name], "turns": 9}
    assert [event["event"] for event in events[1:-1]] == ["turn"] * 9
    assert (events[-1]["event"], events[-1]["scored"]) == ("finish", 9)


def test_tables_and_the_page_name_its_arm(played: Bench) -> None:
    page = (played.home / "runs" / "painted" / "analysis" / "report.html").read_text()
    for said in ("workshop", "shade_reward", "painter:1", "greys"):
        assert said in page
    assert "workshop" in (played.home / "tables.txt").read_text()


def test_what_changes_results_makes_another_run_and_other_calls(tmp_path: Path) -> None:
    made = bench(tmp_path)
    fixed = ("backbone=painter", "benchmark=shades", "tracking=none", "study=steps")
    made.run("-m", *fixed, "backbone.steps=5,50")
    made.run(*fixed, "backbone.steps=5", "backbone.device=cuda")
    folders = runs(tmp_path / "runs" / "steps")
    assert len(folders) == 2
    stored = {manifest(run)["backbone"]: turns(run) for run in folders}
    assert set(stored) == {'painter:1 {"steps": 5}', 'painter:1 {"steps": 50}'}
    off = {
        name: [record["score"] for record in records if record["modality"] == "image"]
        for name, records in stored.items()
    }
    assert max(off['painter:1 {"steps": 5}']) < 1
    assert off['painter:1 {"steps": 5}'] != off['painter:1 {"steps": 50}']


def test_a_judge_may_be_the_judge_of_the_run_and_its_knobs_are_in_the_label(tmp_path: Path) -> None:
    made = bench(tmp_path)
    made.run(
        "backbone=painter", "benchmark=shades", "strategy=best_of_n", "judge=shade_reward", "judge.gain=2"
    )
    [run] = runs(tmp_path / "runs" / "default")
    stored = manifest(run)
    assert stored["strategy"] == "best_of_4[judge=shade_reward,judge.gain=2.0]"
    assert stored["models"]["strategy.judge"] == 'shade-reward:1 {"gain": 2.0}'
    verdicts = [one["verdict"] for record in turns(run) for one in record["response"].get("candidates", ())]
    assert {verdict["kind"] for verdict in verdicts} == {"reward"}


def test_a_judge_of_judges_names_every_model_and_an_oracle_among_its_members(tmp_path: Path) -> None:
    made = bench(tmp_path)
    members = "{name: shade_reward}, {name: shade_reward, gain: 3}, {name: exact}"
    made.run(
        *("backbone=painter", "benchmark=shades", "strategy=best_of_n", "judge=panel", "tracking=none"),
        f"judge.members=[{members}]",
    )
    [run] = runs(tmp_path / "runs" / "default")
    stored = manifest(run)
    assert stored["strategy"] == "oracle_best_of_4[judge=panel(shade_reward-shade_reward[gain=3.0]-exact)]"
    assert stored["oracle"]
    assert [judge["place"] for judge in stored["judges"]] == [
        "strategy.judge",
        *(f"strategy.judge.members[{index}]" for index in range(3)),
    ]
    assert stored["models"] == {
        "generator": "painter:1",
        "strategy.judge.members[0]": "shade-reward:1",
        "strategy.judge.members[1]": 'shade-reward:1 {"gain": 3.0}',
    }


def test_a_list_of_parts_must_be_set(tmp_path: Path) -> None:
    made = bench(tmp_path)
    chosen = ("backbone=painter", "benchmark=shades", "strategy=best_of_n", "judge=panel")
    done = made.experiment("run", *chosen)
    assert done.returncode == 2
    assert done.stderr.startswith("judge panel: members must be set. members: The judges, e.g. [{name")


def test_a_reward_cannot_accept_or_reject(tmp_path: Path) -> None:
    done = bench(tmp_path).experiment(
        "run", "backbone=painter", "benchmark=shades", "strategy=self_verify", "judge=shade_reward"
    )
    assert done.returncode == 2
    assert "gives rewards, of which only the order counts" in done.stderr


def test_a_knob_out_of_range_is_refused(tmp_path: Path) -> None:
    done = bench(tmp_path).experiment("run", *CHOSEN, "backbone.steps=500")
    assert done.returncode == 2
    assert done.stderr.strip() == "backbone.steps is 500; it must be 100 or less"


def test_a_setting_that_its_model_does_not_take_is_refused(tmp_path: Path) -> None:
    made = bench(tmp_path)
    for given, reason in {"lihgt: 1": "did you mean light?", "light: 99": "it must be 50 or less"}.items():
        done = made.experiment(
            "run", "backbone=painter", "benchmark=shades", f"strategy.settings={{{given}}}"
        )
        assert done.returncode == 2
        assert reason in done.stderr


def test_the_reference_page_has_its_knobs(tmp_path: Path) -> None:
    said = bench(tmp_path).experiment("reference", "painting").stdout
    for line in (
        "## workshop",
        "Ranks answers by the reward of a model that it brings along. From the package `painting`.",
        '| `device` | text | `"cpu"` |  | Where the model runs. | no |',
        "| `steps` | a whole number | `20` | 1 or more; 100 or less | Steps of one painting. | yes |",
        "| `critic` | a judge | the run's judge |  | Compares the tries; null for the run's judge. | yes |",
        "| `light` | a number | `0.0` | -50 or more; 50 or less | Light on the painting, in shades. | yes |",
        "| painter | `painting` | plan, follow_plan, reason, follow_reason, checklist, check, feedback |",
    ):
        assert line in said.splitlines()
    assert "best_of_n" not in said
