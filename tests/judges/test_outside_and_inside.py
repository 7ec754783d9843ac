"""Nested judges: a reward model selects among answers that the model under test has verified itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imug_tts.backbones.janus import JanusBackbone
from imug_tts.composition import label
from imug_tts.contracts import stored_responses
from imug_tts.judges import BackboneJudge, ClipScoreJudge
from imug_tts.records import read_manifest, read_turns
from imug_tts.strategies import BestOfN, Direct, SelfVerification
from imug_tts.testing.checkpoints.clip import write_tiny_clip
from imug_tts.testing.checkpoints.janus import write_tiny_janus
from imug_tts.testing.runs import ToyBenchmark, run


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    write_tiny_janus(folder / "janus")
    write_tiny_clip(folder / "PickScore")
    judge = ClipScoreJudge(folder=folder / "PickScore")
    inner = SelfVerification(inner=Direct(), judge=BackboneJudge(max_questions=1), max_rounds=2)
    strategy = BestOfN(inner=inner, judge=judge, n=3)
    assert label(strategy) == (
        "best_of_3[judge=clip_score,judge.folder=PickScore]"
        "+self_verify[max_rounds=2,judge=backbone,judge.max_questions=1]"
    )
    model = JanusBackbone(folder=folder / "janus")
    summary = run(folder / "study" / "run", strategy, model, benchmark=ToyBenchmark(num_samples=1))
    assert summary.scored == summary.planned == 4
    return folder / "study" / "run"


def image_turns(folder: Path) -> list[dict[str, Any]]:
    return [line.record for line in read_turns(folder) if line.record["modality"] == "image"]


def test_the_highest_reward_is_chosen_and_inner_verdicts_are_the_models_own(played: Path) -> None:
    for record in image_turns(played):
        response = record["response"]
        rewards = [candidate["verdict"]["score"] for candidate in response["candidates"]]
        assert response["chosen"] == rewards.index(max(rewards))
        judges = {node["verdict"]["judge"] for node in stored_responses(response) if node.get("verdict")}
        assert judges == {"clip_score", "backbone"}


def test_the_reward_model_is_charged_as_judge_and_named_in_the_manifest(played: Path) -> None:
    manifest = read_manifest(played)
    by_layer = {judge["layer"]: judge for judge in manifest.judges}
    assert by_layer["best_of_3"]["kind"] == "reward"
    [asked] = by_layer["best_of_3"]["models"].values()
    assert asked.startswith("clip_score:1:clip:")
    assert by_layer["self_verify"]["models"] == {"verifier": manifest.backbone}
    for record in image_turns(played):
        assert record["cost"]["judge"]["calls"] >= 3  # a reward for each candidate at least
        assert record["cost"]["generator"]["images"] >= 3
