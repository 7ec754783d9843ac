"""Reward services as judges: requests, and missing rewards, which never count as 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imug_tts.backbones.http_reward import HttpReward
from imug_tts.composition import check_composition, label
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    ConfigurationError,
    JudgeError,
    Request,
    models_by_role,
)
from imug_tts.dialogue import Message, Response, Text
from imug_tts.judges import HttpRewardJudge
from imug_tts.records import read_turns
from imug_tts.strategies import BestOfN, Direct, SelfVerification
from imug_tts.testing.chat_server import ChatServer, Reply, chat_server
from imug_tts.testing.runs import ToyBenchmark, run
from imug_tts.testing.toys import ToyBackbone, answer, picture, turn_of, within

KEY = "rk-very-secret-0123456789"
SHOWN = (Message("user", (Text("draw a star"),)), Message("assistant", (picture("star"),)))
ASKED = Request(history=SHOWN, modality="text", seeds=(0,), form="reward")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARD_API_KEY", KEY)


def served(reply: Callable[[int, dict[str, Any]], Reply]) -> Any:
    return chat_server(reply, path="/reward")


def rewarded(**rewards: Any) -> Reply:
    return Reply(body={"rewards": rewards})


def model(server: ChatServer, **knobs: Any) -> HttpReward:
    return HttpReward(url=f"{server.host}/reward", model="rm-1", max_attempts=2, patience_s=0, **knobs)


def ask(server: ChatServer, **knobs: Any) -> Candidate:
    [[candidate]] = model(server, **knobs).generate([ASKED])
    return candidate


def test_the_service_reads_the_whole_dialogue_and_the_answer_last() -> None:
    with served(lambda n, body: rewarded(quality=2.5)) as server:
        candidate = ask(server, dollars_per_call=0.01)
    [body] = server.bodies
    assert body["model"] == "rm-1"
    assert [message["role"] for message in body["messages"]] == ["user", "assistant"]
    assert body["messages"][0]["content"] == [{"type": "text", "text": "draw a star"}]
    [image] = body["messages"][1]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert f"authorization: bearer {KEY}" in server.headers[0].lower()
    assert (candidate.reward, candidate.output) == (2.5, Text("2.5"))
    assert (candidate.cost.calls, candidate.cost.dollars) == (1, 0.01)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(body={"rewards": {}, "errors": {"quality": "no face found"}}), "quality: no face found"),
        (Reply(body={"rewards": {"quality": 0.0}, "errors": {"quality": "crashed"}}), "quality: crashed"),
        (rewarded(quality=None), "quality is None"),
        (Reply(body=b'{"rewards": {"quality": NaN}}'), "quality is nan"),
        (rewarded(quality=True), "quality is True"),
        (rewarded(quality="5"), "quality is '5'"),
        (Reply(status=422, body={"detail": "too small"}), "too small"),
    ],
)
def test_an_answer_without_a_reward_is_a_refusal_with_its_reason_and_never_zero(
    reply: Reply, reason: str
) -> None:
    with served(lambda n, body: reply) as server:
        candidate = ask(server)
    assert (candidate.output, candidate.finish, candidate.reward) == (None, "refused", None)
    assert reason in (candidate.reason or "")


def test_one_of_several_rewards_must_be_named() -> None:
    with served(lambda n, body: rewarded(quality=1.0, safety=3.0)) as server:
        with pytest.raises(BackboneError, match=r"quality, safety; choose one: reward=NAME"):
            ask(server)
        assert ask(server, reward="safety").reward == 3.0
        with pytest.raises(BackboneError, match=r"no reward 'beauty'; it returned: quality, safety"):
            ask(server, reward="beauty")


def test_a_service_that_is_down_fails_the_call_and_a_passing_failure_is_tried_again() -> None:
    down = served(lambda n, body: Reply(status=500, body={"detail": KEY}))
    with down as server, pytest.raises(BackboneError, match="HTTP status 500") as failure:
        ask(server)
    assert KEY not in str(failure.value)
    with served(lambda n, body: rewarded(quality=4) if n else Reply(body=b"not JSON")) as server:
        assert ask(server).reward == 4.0
        assert ask(server).cost.calls == 1


def test_it_gives_rewards_only() -> None:
    plain = HttpReward(url="http://127.0.0.1:1/reward", model="rm-1")
    with pytest.raises(BackboneError, match="reward calls only"):
        plain.generate([Request(history=SHOWN, modality="text", seeds=(0,))])


def test_the_key_and_the_address_are_not_in_the_identity_and_the_reward_is() -> None:
    one = HttpReward(url="http://127.0.0.1:1/a", model="rm-1")
    assert one.identity == HttpReward(url="http://127.0.0.1:2/b", model="rm-1").identity
    assert one.identity != HttpReward(url="http://127.0.0.1:1/a", model="rm-1", reward="safety").identity
    assert KEY not in one.identity


def judge_at(server: ChatServer, **knobs: Any) -> HttpRewardJudge:
    return HttpRewardJudge(url=f"{server.host}/reward", model="rm-1", max_attempts=1, patience_s=0, **knobs)


def test_best_of_n_takes_the_highest_reward_and_leaves_a_failed_candidate_unranked() -> None:
    rewards = iter([-7.0, None, -3.0, -5.0])
    said: dict[str, Any] = {}

    def reply(number: int, body: dict[str, Any]) -> Reply:
        shown = body["messages"][-1]["content"][0]["image_url"]["url"]
        said.setdefault(shown, next(rewards))
        if said[shown] is None:
            return Reply(body={"rewards": {}, "errors": {"quality": "out of memory"}})
        return rewarded(quality=said[shown])

    with served(reply) as server:
        response = answer(BestOfN(inner=Direct(), judge=judge_at(server, concurrency=1), n=4))
    verdicts = [candidate.verdict for candidate in response.candidates]
    scores = [verdict.score for verdict in verdicts if verdict is not None]
    assert sorted(score for score in scores if score is not None) == [-7.0, -5.0, -3.0]
    [unranked] = [v for v in verdicts if v is not None and v.status == "unparsable"]
    assert (unranked.score, unranked.kind) == (None, "reward")
    assert "out of memory" in unranked.detail
    assert response.chosen == scores.index(-3.0)


def test_a_service_that_is_down_ends_the_turn_as_judge_error_and_the_next_invocation_goes_on(
    tmp_path: Path,
) -> None:
    with served(lambda n, body: Reply(status=500)) as server:
        strategy = BestOfN(inner=Direct(), judge=judge_at(server), n=2)
        first = run(tmp_path / "study" / "run", strategy, benchmark=ToyBenchmark(num_samples=2))
    assert [reason.split(":")[0] for reason in first.failures] == ["judge_error"]
    with served(lambda n, body: rewarded(quality=1.0)) as server:
        strategy = BestOfN(inner=Direct(), judge=judge_at(server), n=2)
        second = run(tmp_path / "study" / "run", strategy, benchmark=ToyBenchmark(num_samples=2))
    assert second.scored == second.planned
    records = [record for _, record in read_turns(tmp_path / "study" / "run")]
    assert {record["outcome"] for record in records} == {"scored"}


def test_a_reward_selects_and_does_not_verify_and_a_refusal_has_nothing_to_judge() -> None:
    judge = HttpRewardJudge(url="http://127.0.0.1:1/reward", model="rm-1")
    backbone = models_by_role(ToyBackbone())
    check_composition(BestOfN(inner=Direct(), judge=judge), backbone)
    with pytest.raises(ConfigurationError, match="reward"):
        check_composition(SelfVerification(inner=Direct(), judge=judge), backbone)

    async def judged(scope: Any) -> Any:
        return await judge.judge(turn_of(), Response(strategy="direct", output=None), scope)

    with pytest.raises(JudgeError, match="refused"):
        within(judged)


def test_labels_say_who_selected_and_by_which_reward() -> None:
    judge = HttpRewardJudge(url="http://127.0.0.1:1/reward", model="rm-1", reward="safety")
    text = label(BestOfN(inner=Direct(), judge=judge, n=8))
    assert text.startswith("best_of_8[judge=http_reward")
    assert "model=rm-1" in text
    assert "reward=safety" in text
