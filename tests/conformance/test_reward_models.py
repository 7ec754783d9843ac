"""Models that give rewards alone pass the whole suite, which says of each case whether it applies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from imug_tts.backbones.clip_score import ClipScore
from imug_tts.backbones.http_reward import HttpReward
from imug_tts.testing.chat_server import Reply, chat_server
from imug_tts.testing.checkpoints.clip import write_tiny_clip
from imug_tts.testing.conformance import CASES, NotConforming, Subject, check
from imug_tts.testing.infer_servers import unused_url
from imug_tts.testing.json_server import JsonRequest, JsonResponse, serving
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone

APPLY = {
    "declarations_are_whole",
    "rewards_are_given",
    "identity_is_stable",
    "result_knobs_change_the_identity",
    "runtime_knobs_leave_the_identity_alone",
    "memory_is_estimated",
    "unloading_frees_and_loads_again",
    "one_call_at_a_time",
    "late_servers_time_out",
    "unreachable_servers_are_errors",
    "interrupt_ends_the_wait",
}


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
        model = HttpReward(url=url, model="rm-1")
        yield Subject(backbone=model, name="http_reward", late=late, away=away)


@contextmanager
def late() -> Iterator[HttpReward]:
    with chat_server(lambda number, body: Reply(delay_s=60), path="/reward") as server:
        yield HttpReward(url=f"{server.host}/reward", model="rm-1", timeout_s=0.5, max_attempts=1)


@contextmanager
def away() -> Iterator[HttpReward]:
    yield HttpReward(url=unused_url(), model="rm-1", patience_s=0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model", ["clip_score", "http_reward"])
def test_reward_models_pass_the_suite(case: str, model: str, request: pytest.FixtureRequest) -> None:
    subject: Subject = request.getfixturevalue(model)
    reasons = check(case, subject)
    assert (case in APPLY) is not (reasons == ["it gives rewards only, and neither writes nor draws"])


def test_a_model_that_gives_nothing_does_not_conform() -> None:
    nothing = replace(CAPABILITIES, outputs=frozenset(), rewards=False)
    with pytest.raises(NotConforming, match="no outputs and no rewards"):
        check("declarations_are_whole", Subject(backbone=ToyBackbone(capabilities=nothing)))
