"""One arm for each distinct run, named by what differs; parts of one arm belong together."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.ablation import Ablation, ablation
from analysis.names import is_part_of, label_of, layers, setting_of
from analysis.records import Study, StudyError, load_study
from tests.analysis.study_writer import StudyWriter, turn_record, write_run

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]


def execute(*arguments: str) -> None:
    """Run `experiments/run.py` on three dialogues of the pocket world."""
    command = [sys.executable, str(ROOT / "experiments" / "run.py"), *arguments]
    command += ["benchmark.num_samples=3", "tracking=none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def write(
    folder: Path,
    strategy: str = "best_of_4",
    *,
    identity: Mapping[str, Any] | None = None,
    samples: range = range(4),
    score: float | None = 0.5,
    outcome: str = "scored",
    **manifest: Any,
) -> Path:
    """A run in which each of the dialogues has one image turn."""
    about: Json = {"run": folder.name, "strategy": strategy, "oracle": False, "history": "own", "seed": 0}
    about |= {"benchmark": "toy", "selection": {}, **manifest}
    about["arm_identity"] = {"strategy": {"name": label_of(strategy)}, "roles": {}, **(identity or {})}
    planned: list[Json] = [
        {"class": "a", "domain": "d", "task": "t", "sample_id": str(index), "modalities": ["image"]}
        for index in samples
    ]
    records = [turn_record(about, s, 1, "image", outcome=outcome, score=score) for s in planned]
    write_run(folder, about | {"planned": planned}, records)
    return folder


def names(study: Study) -> list[str]:
    return sorted({arm.strategy for arm in study.arms.values()})


def arms(result: Ablation) -> list[str]:
    return [arm.strategy for arm in result.arms]


def every(key: str, *values: str) -> list[str]:
    return [f"{label} @ {key}={value}" for label in ("direct", "best_of_4") for value in values]


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        (["budget.images=2,null,1"], every("budget.images", "none", "1", "2")),
        (["judge=backbone,pairwise"], ["direct", "best_of_4", "best_of_4[judge=pairwise]"]),
        (["scoring.mcq=official,corrected"], every("scoring.mcq", "default", "corrected")),
        (["seed=0,1"], ["direct", "best_of_4"]),
    ],
)
def test_every_sweep_of_the_engine_is_analysed(tmp_path: Path, sweep: list[str], expected: list[str]) -> None:
    execute("-m", "strategy=direct,best_of_n", *sweep, f"output={tmp_path}")
    assert arms(ablation(load_study(tmp_path), resamples=100)) == expected
    assert main([str(tmp_path), "--resamples", "100"]) == 0


def test_another_model_as_verifier_makes_another_arm_of_those_that_ask_it(tmp_path: Path) -> None:
    for place, more in {"plain": [], "other": ["backbone@roles.verifier=pocket"]}.items():
        for strategy in ("direct", "best_of_n"):
            execute(f"strategy={strategy}", *more, f"output={tmp_path / f'{strategy}-{place}'}")
    study = load_study(tmp_path)
    assert names(study) == [
        "best_of_4 @ roles.verifier=none", "best_of_4 @ roles.verifier=pocket", "direct",
    ]  # fmt: skip
    (warning,) = study.warnings
    assert f"{tmp_path / 'direct-other'} and" in warning or f"and {tmp_path / 'direct-other'} " in warning
    assert "hold the same run" in warning


def test_the_same_run_in_two_folders_counts_once_and_from_the_more_complete_one(tmp_path: Path) -> None:
    write(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    turns = tmp_path / "a" / "turns.jsonl"
    turns.write_bytes(b"".join(turns.read_bytes().splitlines(keepends=True)[:2]))
    study = load_study(tmp_path)
    assert list(study.arms) == [tmp_path / "b"]
    assert len(study.records) == 4
    assert study.num_runs == 1
    (warning,) = study.warnings
    assert warning.startswith(f"{tmp_path / 'a'} and {tmp_path / 'b'} hold the same run")


def test_classes_that_are_swept_are_parts_of_one_arm(tmp_path: Path) -> None:
    study = load_study(StudyWriter(folder=tmp_path, strategies=["direct"], samples_per_class=2).write())
    assert study.num_runs == 6
    assert names(study) == ["direct"]


def test_runs_that_pick_overlapping_dialogues_are_named_by_what_they_pick(tmp_path: Path) -> None:
    for number, dialogues in {3: range(3), 10: range(10)}.items():
        for history in ("own", "gold"):
            selection = {"num_samples": number}
            write(tmp_path / f"{number}-{history}", samples=dialogues, history=history, selection=selection)
    assert arms(ablation(load_study(tmp_path), resamples=100)) == [
        "best_of_4 @ num_samples=3", "best_of_4 @ num_samples=10",
    ]  # fmt: skip


def test_only_what_tells_overlapping_runs_apart_is_named(tmp_path: Path) -> None:
    halves = {"left": range(5), "right": range(5, 10)}
    for name, dialogues in halves.items():
        write(tmp_path / name, samples=dialogues, selection={"classes": [name], "num_samples": 10})
        some = dialogues[:2]
        write(tmp_path / f"{name}-2", samples=some, selection={"classes": [name], "num_samples": 4})
    assert names(load_study(tmp_path)) == ["best_of_4 @ num_samples=10", "best_of_4 @ num_samples=4"]


def test_other_weights_under_one_configuration_make_another_arm(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / str(number), models={"generator": "pocket", "verifier": f"server:{number}"})
    assert names(load_study(tmp_path)) == [
        "best_of_4 @ models.verifier=server:1", "best_of_4 @ models.verifier=server:2",
    ]  # fmt: skip


def test_the_knobs_of_a_component_are_named_where_two_arms_have_the_component(tmp_path: Path) -> None:
    roles: dict[str, Json] = {
        "none": {},
        "a": {"verifier": {"name": "openai_chat", "model": "a", "top": 1}},
        "b": {"verifier": {"name": "openai_chat", "model": "b", "top": 1}},
    }
    for name, role in roles.items():
        write(tmp_path / name, identity={"roles": role})
    assert names(load_study(tmp_path)) == [
        "best_of_4 @ roles.verifier=none",
        "best_of_4 @ roles.verifier=openai_chat verifier.model=a",
        "best_of_4 @ roles.verifier=openai_chat verifier.model=b",
    ]


def test_knobs_of_one_backbone_are_an_axis_and_paired_with_a_named_baseline(tmp_path: Path) -> None:
    for strategy, level in {"direct": 0.2, "cot": 0.5}.items():
        for steps in (3, 5):
            write(
                tmp_path / f"{strategy}{steps}",
                strategy,
                identity={"backbone": {"name": "toy", "steps": steps}},
                backbone=f'toy:1:0123456789abcdef {{"steps": {steps}}}',
                score=level + steps / 100,
            )
    result = ablation(load_study(tmp_path), resamples=100)
    gains = {arm.strategy: arm.estimates["mean_gain"].value for arm in result.arms}
    expected = {
        "direct @ backbone.steps=5": 0.02,
        "cot @ backbone.steps=3": 0.3,
        "cot @ backbone.steps=5": 0.32,
    }
    assert result.baseline == "direct @ backbone.steps=3"
    assert {name: gains[name] for name in expected} == pytest.approx(expected)
    assert any("gains are measured against 'direct @ backbone.steps=3'" in each for each in result.warnings)
    assert result.backbone == "toy:1 with 2 settings of its knobs"
    other = ablation(load_study(tmp_path), baseline="direct @ backbone.steps=5", resamples=100)
    paired = {arm.strategy: arm.estimates["mean_gain"].value for arm in other.arms}
    assert paired["cot @ backbone.steps=5"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        (lambda v: {"backbone": {"name": "toy", "steps": v}}, "backbone.steps"),
        (lambda v: {"benchmark": {"name": "b", "scoring": {"mcq": v}}}, "scoring.mcq"),
        (lambda v: {"budget": {"images": v}}, "budget.images"),
        (lambda v: {"roles": {"scorer": {"name": "openai", "model": v}}}, "scorer.model"),
    ],
)
def test_what_scores_depend_on_is_named_where_arms_of_different_strategies_differ_in_it(
    tmp_path: Path, setting: Callable[[str], Json], name: str
) -> None:
    write(tmp_path / "direct", "direct", identity=setting("a"))
    write(tmp_path / "cot", "cot", identity=setting("b"))
    result = ablation(load_study(tmp_path), resamples=100)
    assert arms(result) == [f"direct @ {name}=a", f"cot @ {name}=b"]
    assert result.baseline == f"direct @ {name}=a"
    assert not any("several arms" in warning for warning in result.warnings)


def test_keys_that_end_alike_are_named_in_full_and_very_long_names_are_hashes(tmp_path: Path) -> None:
    for first, second in ((1, 1), (1, 2), (2, 1)):
        identity = {"x": {"part": {"size": first}}, "y": {"part": {"size": second}}}
        write(tmp_path / "few" / f"{first}{second}", identity=identity)
    assert names(load_study(tmp_path / "few"))[0] == "best_of_4 @ x.part.size=1 y.part.size=1"
    for value in (1, 2):
        write(tmp_path / "many" / str(value), identity={"x": {f"k{key}": value for key in range(9)}})
    for name in names(load_study(tmp_path / "many")):
        assert setting_of(name).startswith("arm=")
        assert len(setting_of(name)) == len("arm=") + 8


def test_manifests_of_version_0_1_are_grouped_by_their_identity(tmp_path: Path) -> None:
    for images in (None, 2):
        for name, dialogues in {"hybrid": range(2), "static_spatial": range(2, 4)}.items():
            folder = write(tmp_path / f"{name}-{images}", samples=dialogues)
            manifest = json.loads((folder / "manifest.json").read_text())
            del manifest["arm_identity"], manifest["selection"]
            manifest["identity"] = {
                "budget": {"images": images, "texts": None},
                "strategy": {"name": "best_of_n", "n": 4},
                "benchmark": {"name": "pocket_world", "classes": [name]},
                "history": "own", "history_from": None, "seed": 0,
            }  # fmt: skip
            (folder / "manifest.json").write_text(json.dumps(manifest))
    assert names(load_study(tmp_path)) == ["best_of_4 @ budget.images=2", "best_of_4 @ budget.images=none"]


def test_an_unscored_run_gives_way_to_its_scored_twin(tmp_path: Path) -> None:
    write(tmp_path / "waiting", outcome="unscored", score=None)
    scorer = {"roles": {"scorer": {"name": "openai", "model": "m"}}}
    write(tmp_path / "graded", identity=scorer, models={"scorer": "openai:m"})
    study = load_study(tmp_path)
    assert list(study.arms) == [tmp_path / "graded"]
    assert names(study) == ["best_of_4"]
    (warning,) = study.warnings
    assert warning.startswith(f"{tmp_path / 'waiting'}: 4 turns have no score yet; {tmp_path / 'graded'}")


def test_an_unscored_run_alone_is_analysed_and_two_scorers_are_two_arms(tmp_path: Path) -> None:
    write(tmp_path / "alone" / "waiting", outcome="unscored", score=None)
    study = load_study(tmp_path / "alone")
    assert (names(study), study.warnings) == (["best_of_4"], ())
    for name in ("a", "b"):
        write(tmp_path / "two" / name, identity={"roles": {"scorer": {"name": name}}})
    assert names(load_study(tmp_path / "two")) == [
        "best_of_4 @ roles.scorer=a", "best_of_4 @ roles.scorer=b",
    ]  # fmt: skip


def swept(folder: Path, *strategies: str) -> Study:
    for strategy in strategies:
        for images in (2, 10):
            identity = {"budget": {"images": images}}
            write(folder / f"{strategy}-{images}", strategy, identity=identity, score=images / 10)
    return load_study(folder)


def test_the_first_of_several_direct_arms_is_the_baseline_and_a_warning_says_so(tmp_path: Path) -> None:
    result = ablation(swept(tmp_path, "direct", "cot"), resamples=100)
    assert arms(result)[:2] == ["direct @ budget.images=2", "direct @ budget.images=10"]
    assert result.baseline == "direct @ budget.images=2"
    assert any("gains are measured against 'direct @ budget.images=2'" in w for w in result.warnings)


def test_a_baseline_is_the_name_of_an_arm_or_a_label_that_one_arm_has(tmp_path: Path) -> None:
    study = swept(tmp_path, "direct")
    result = ablation(study, baseline="direct @ budget.images=10", resamples=100)
    assert not any("gains are measured" in warning for warning in result.warnings)
    other = next(arm for arm in result.arms if arm.strategy == "direct @ budget.images=2")
    assert other.estimates["mean_gain"].value == pytest.approx(-0.8)
    with pytest.raises(
        StudyError, match=r"'direct' names several arms; choose one of: direct @ budget.images=2"
    ):
        ablation(study, baseline="direct", resamples=100)
    write(tmp_path / "cot", "cot")
    with_cot = ablation(load_study(tmp_path), baseline="cot", resamples=100)
    assert with_cot.baseline == "cot @ budget.images=none"


def test_nestings_and_synergies_stay_within_their_settings(tmp_path: Path) -> None:
    study = swept(tmp_path, "direct", "cot", "best_of_4", "best_of_4+cot")
    result = ablation(study, resamples=100)
    pairs = {(nesting.strategy, nesting.part) for nesting in result.nestings}
    assert pairs == {
        (f"best_of_4+cot @ budget.images={images}", f"{part} @ budget.images={images}")
        for images in (2, 10)
        for part in ("cot", "best_of_4")
    }
    # equal scores within a setting: whole - part - part + the direct arm of that setting
    assert [s.difference.value for s in result.synergies] == pytest.approx([0, 0])


def test_a_ladder_over_candidates_is_no_ladder_over_budgets(tmp_path: Path) -> None:
    result = ablation(swept(tmp_path, "best_of_2", "best_of_8"), resamples=100)
    assert {ladder.family: list(ladder.rungs.values()) for ladder in result.ladders} == {
        "best_of @ budget.images=2": [2, 8],
        "best_of @ budget.images=10": [2, 8],
    }


def test_a_swapped_history_is_named_after_the_arm_that_produced_it(tmp_path: Path) -> None:
    swept(tmp_path, "best_of_4")
    write(tmp_path / "direct", "direct")
    swap: Json = {"history": "swap", "history_from": "best_of_4-10:0123abcd"}
    write(tmp_path / "swapped", "direct", **swap)
    study = load_study(tmp_path)
    assert study.arms[tmp_path / "swapped"].history == "swap:best_of_4 @ budget.images=10"


def test_two_sources_of_one_arm_are_told_apart_by_their_run(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path / f"source-{seed}", seed=seed)
        write(tmp_path / f"on-{seed}", "direct", history="swap", history_from=f"source-{seed}:0123abcd")
    study = load_study(tmp_path)
    found = [study.arms[tmp_path / f"on-{seed}"].history for seed in (0, 1)]
    assert found == ["swap:best_of_4", "swap:best_of_4 (source-1)"]


def test_names_are_taken_apart() -> None:
    name = "best_of_8[a=1+2,b=x]+cot @ budget.images=2 scoring.mcq=corrected"
    assert label_of(name) == "best_of_8[a=1+2,b=x]+cot"
    assert setting_of(name) == "budget.images=2 scoring.mcq=corrected"
    assert layers(name) == ("best_of_8[a=1+2,b=x]", "cot")
    assert is_part_of("cot @ k=1", "best_of_4+cot @ k=1")
    assert not is_part_of("cot @ k=1", "best_of_4+cot @ k=2")
    assert not is_part_of("cot", "best_of_4+cot @ k=2")
    assert (label_of("bon @ 8"), setting_of("bon @ 8")) == ("bon @ 8", "")
