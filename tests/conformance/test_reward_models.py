"""Models that give rewards alone, and write nothing, pass the cases of the suite that concern them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from imug_tts.backbones.clip_score import ClipScore
from imug_tts.backbones.http_reward import HttpReward
from imug_tts.testing.checkpoints.clip import write_tiny_clip
from imug_tts.testing.conformance import Subject, check
from imug_tts.testing.json_server import JsonRequest, JsonResponse, serving

CASES = (
    "rewards_are_given",
    "result_knobs_change_the_identity",
    "runtime_knobs_leave_the_identity_alone",
)


@pytest.fixture(scope="module")
def clip_score(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("clip")
    write_tiny_clip(folder / "clip")
    write_tiny_clip(folder / "other", seed=1)
    others = {"folder": folder / "other", "device_map": "cpu", "offload_folder": folder / "offload"}
    return Subject(backbone=ClipScore(folder=folder / "clip"), name="clip_score", others=others)


@pytest.fixture(scope="module")
def http_reward() -> Iterator[Subject]:
    def answer(asked: JsonRequest) -> JsonResponse:
        return JsonResponse(200, {"rewards": {"quality": hashlib.sha256(asked.content).digest()[0]}})

    with serving(answer) as url:
        yield Subject(backbone=HttpReward(url=url, model="rm-1"), name="http_reward")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model", ["clip_score", "http_reward"])
def test_reward_models_pass_the_cases_that_concern_them(
    case: str, model: str, request: pytest.FixtureRequest
) -> None:
    subject: Subject = request.getfixturevalue(model)
    check(case, subject)
