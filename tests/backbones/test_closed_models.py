"""OpenAI's and Google's models through their own packages, against servers that speak their protocols."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from imug_tts.backbones.gemini import GeminiBackbone
from imug_tts.backbones.hosted import Hosted
from imug_tts.backbones.openai import OpenAIBackbone
from imug_tts.contracts import BackboneError, Candidate, ConfigurationError, Request, Sampling
from imug_tts.dialogue import Image, Message, Modality, Text
from imug_tts.runs import Arm, Run, execute
from imug_tts.strategies import Direct
from imug_tts.testing.closed_servers import (
    ClosedServer,
    gemini_response,
    gemini_server,
    openai_message,
    openai_response,
    openai_server,
)
from imug_tts.testing.infer_servers import unused_url
from imug_tts.testing.json_server import JsonResponse
from imug_tts.testing.runs import ToyBenchmark, records
from imug_tts.testing.toys import picture

RED, BLUE = picture("red"), picture("blue")
DIALOGUE = (
    Message("system", (Text("Be brief."),)),
    Message("user", (Text("Like this."), RED)),
    Message("assistant", (Text("Here:"), BLUE)),
    Message("user", (Text("Larger."),)),
)
PRICES = """
gpt-5.2: {input: 2.0, cached_input: 0.2, output: 10}
gpt-image-2: {input: 8, output: 30, image: 0.01}
gemini-3-image: {input: 0.5, output: 3, image_output: 60}
"""
Connect = Callable[..., Hosted]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(variable, "key-1234")


@pytest.fixture
def at_openai() -> Iterator[ClosedServer]:
    with openai_server() as server:
        yield server


@pytest.fixture
def at_google() -> Iterator[ClosedServer]:
    with gemini_server() as server:
        yield server


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES)
    return path


def gpt(server: ClosedServer | str, **knobs: Any) -> OpenAIBackbone:
    url = server if isinstance(server, str) else server.url
    return OpenAIBackbone(**{"model": "gpt-5.2", "base_url": url, "patience_s": 0.5, **knobs})


def gemini(server: ClosedServer | str, **knobs: Any) -> GeminiBackbone:
    url = server if isinstance(server, str) else server.url
    return GeminiBackbone(**{"model": "gemini-3-image", "base_url": url, "patience_s": 0.5, **knobs})


def ask(
    backbone: Hosted, modality: Modality = "image", *seeds: int, history: Sequence[Message] = DIALOGUE
) -> list[Candidate]:
    sampling = Sampling(temperature=0.7, max_tokens=100)
    request = Request(history=tuple(history), modality=modality, seeds=seeds or (1,), sampling=sampling)
    [made] = backbone.generate([request])
    return made


def kinds(content: str | list[dict[str, Any]]) -> str | list[str]:
    return content if isinstance(content, str) else [part["type"] for part in content]


def test_openai_is_shown_the_assistants_images_as_the_users_and_keeps_nothing(
    at_openai: ClosedServer,
) -> None:
    first, second = ask(gpt(at_openai, quality="low"), "image", 1, 2)
    assert isinstance(first.output, Image)
    assert first.output != second.output
    body = at_openai.bodies[0]
    kinds = [
        (
            item["role"],
            item["content"] if isinstance(item["content"], str) else [p["type"] for p in item["content"]],
        )
        for item in body["input"]
    ]
    assert kinds == [
        ("system", "Be brief."),
        ("user", ["input_text", "input_image"]),
        ("assistant", "Here:\n(an image; it is shown in the next message)"),
        ("user", ["input_text", "input_image", "input_text"]),
    ]
    assert body["store"] is False
    assert (body["tools"][0]["model"], body["tools"][0]["quality"]) == ("gpt-image-2", "low")
    assert body["tool_choice"] == {"type": "image_generation"}


def test_gemini_is_shown_the_assistants_images_in_its_own_turns(at_google: ClosedServer) -> None:
    first, second, again = ask(gemini(at_google), "image", 1, 2, 1)
    assert first.output == again.output != second.output
    assert first.thought == "plan"
    body = at_google.bodies[0]
    assert [item["role"] for item in body["contents"]] == ["user", "model", "user"]
    assert [list(part) for part in body["contents"][1]["parts"]] == [["text"], ["inlineData"]]
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert at_google.paths[0] == "/v1beta/models/gemini-3-image:generateContent"


@pytest.mark.parametrize(
    ("connect", "source"),
    [(gpt, "gpt-5.2-2026-08-01 resp_1"), (gemini, "gemini-3-image-001 abc")],
)
def test_texts_say_which_model_answered(
    connect: Connect, source: str, at_openai: ClosedServer, at_google: ClosedServer
) -> None:
    [candidate] = ask(connect(at_openai if connect is gpt else at_google), "text")
    assert (candidate.finish, candidate.source) == ("stop", source)
    assert isinstance(candidate.output, Text)
    assert re.fullmatch("A [0-9a-f]{64}", candidate.output.text)


def test_dollars_follow_the_users_table_to_the_cent(
    prices: Path, at_openai: ClosedServer, at_google: ClosedServer
) -> None:
    [text], [drawn] = (ask(gpt(at_openai, prices=prices), modality) for modality in ("text", "image"))
    written = (600 * 2.0 + 400 * 0.2 + 50 * 10) / 1e6
    assert text.cost.dollars == pytest.approx(written)
    assert drawn.cost.dollars == pytest.approx(written + (300 * 8 + 4000 * 30) / 1e6 + 0.01)
    [text], [drawn] = (ask(gemini(at_google, prices=prices), modality) for modality in ("text", "image"))
    written = (600 * 0.5 + 400 * 0.5 + 70 * 3) / 1e6
    assert text.cost.dollars == pytest.approx(written)
    assert drawn.cost.dollars == pytest.approx(written + 1290 * 60 / 1e6)
    assert (text.cost.prompt_tokens, text.cost.cached_tokens, text.cost.new_tokens) == (600, 400, 70)


def test_images_that_are_shown_drawn_and_cached_have_prices_of_their_own(
    tmp_path: Path, at_openai: ClosedServer
) -> None:
    used = {
        "input_tokens": 3000,
        "input_tokens_details": {"image_tokens": 2000, "text_tokens": 1000},
        "cached_tokens": 1900,
        "cached_tokens_details": {"cached_image_tokens": 1500, "cached_text_tokens": 400},
        "output_tokens": 5000,
        "output_tokens_details": {"image_tokens": 4100, "text_tokens": 900},
        "total_tokens": 8000,
    }
    path = tmp_path / "prices.yaml"
    path.write_text(
        "gpt-5.2: {input: 0, output: 0}\n"
        "gpt-image-2: {input: 5, cached_input: 1.25, image_input: 8, cached_image_input: 2, output: 10,"
        " image_output: 32}\n"
    )
    drawn = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "aGk="}
    at_openai.script = [JsonResponse(200, openai_response([drawn], tool_usage={"image_gen": used}))]
    [candidate] = ask(gpt(at_openai, prices=path))
    text, images = 600 * 5 + 400 * 1.25 + 900 * 10, 500 * 8 + 1500 * 2 + 4100 * 32
    assert candidate.cost.dollars == pytest.approx((text + images) / 1e6)
    assert candidate.cost.prompt_tokens == 600 + 600 + 500
    assert candidate.cost.cached_tokens == 400 + 400 + 1500


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("gpt-5.2: {input: 1, output: 1}", "has no price of gpt-image-2"),
        ("gpt-5.2: {input: 1}", "gpt-5.2 has no output; write 0 for what is free"),
        ("gpt-5.2: {}", "gpt-5.2 has no input and no output"),
        ("gpt-5.2: {inputs: 1}", "gpt-5.2 has no price 'inputs'; choose from: input"),
        ("gpt-5.2: {input: cheap}", "gpt-5.2.input is 'cheap'; it must be dollars"),
        ("[1, 2]", "must hold a mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_tables_of_prices_that_cannot_work_are_refused(tmp_path: Path, table: str, words: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(table)
    with pytest.raises(ConfigurationError, match=words):
        gpt("http://127.0.0.1:1", prices=path)


BLOCKED = {
    "error": {"message": "blocked", "code": "moderation_blocked", "type": "image_generation_user_error"}
}
REFUSAL = openai_message({"type": "refusal", "refusal": "No."})
EXCUSE = openai_message({"type": "output_text", "text": "I cannot."})
FILTERED: dict[str, Any] = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
FAILED_IMAGE = {
    "id": "ig_1",
    "type": "image_generation_call",
    "status": "failed",
    "error": {"message": "unsafe", "code": "moderation_blocked", "type": "image_generation_error"},
}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (JsonResponse(400, BLOCKED), "blocked"),
        (JsonResponse(200, openai_response([FAILED_IMAGE])), "unsafe"),
        (JsonResponse(200, openai_response([REFUSAL])), "No."),
        (JsonResponse(200, openai_response([EXCUSE])), "I cannot."),
        (JsonResponse(200, openai_response([], **FILTERED)), "content_filter"),
        (JsonResponse(200, openai_response([])), "no image"),
    ],
)
def test_what_openai_refuses_is_an_answer_with_its_reason(
    said: JsonResponse, reason: str, at_openai: ClosedServer
) -> None:
    at_openai.script = [said]
    [candidate] = ask(gpt(at_openai))
    assert (candidate.output, candidate.finish, candidate.cost.calls) == (None, "refused", 1)
    assert candidate.reason is not None
    assert reason in candidate.reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gemini_response([], ended="IMAGE_SAFETY"), "IMAGE_SAFETY"),
        (gemini_response([], ended="A_NEW_REASON"), "A_NEW_REASON"),
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, "PROHIBITED_CONTENT"),
        (gemini_response([{"text": "I cannot."}]), "I cannot."),
    ],
)
@pytest.mark.filterwarnings("ignore:A_NEW_REASON is not a valid")
def test_what_gemini_refuses_is_an_answer_with_its_reason(
    body: dict[str, Any], reason: str, at_google: ClosedServer
) -> None:
    at_google.script = [JsonResponse(200, body)]
    [candidate] = ask(gemini(at_google))
    assert (candidate.output, candidate.finish, candidate.reason) == (None, "refused", reason)


def test_a_text_that_was_cut_off_says_so(at_openai: ClosedServer, at_google: ClosedServer) -> None:
    cut = openai_message({"type": "output_text", "text": "A and"})
    more: dict[str, Any] = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    at_openai.script = [JsonResponse(200, openai_response([cut], **more))]
    at_google.script = [JsonResponse(200, gemini_response([{"text": "A and"}], ended="MAX_TOKENS"))]
    for backbone in (gpt(at_openai), gemini(at_google)):
        [candidate] = ask(backbone, "text")
        assert (candidate.output, candidate.finish) == (Text("A and"), "length")


@pytest.mark.parametrize("connect", [gpt, gemini])
def test_attempts_are_ours_and_counted(
    connect: Connect, at_openai: ClosedServer, at_google: ClosedServer
) -> None:
    server = at_openai if connect is gpt else at_google
    busy = JsonResponse(
        429, {"error": {"message": "slow down", "code": 429, "status": "X"}}, {"retry-after": "0"}
    )
    server.script = [busy, busy]
    [candidate] = ask(connect(server), "text")
    assert (candidate.cost.calls, len(server.bodies)) == (3, 3)
    server.script = [busy] * 2
    with pytest.raises(BackboneError, match=r"429.*slow down"):
        ask(connect(server, max_attempts=2), "text")
    server.script = [JsonResponse(400, {"error": {"message": "bad size", "code": 400, "status": "X"}})]
    with pytest.raises(BackboneError, match=r"400.*bad size"):
        ask(connect(server), "text")
    assert len(server.bodies) == 6


@pytest.mark.parametrize("connect", [gpt, gemini])
def test_a_body_that_is_no_response_is_attempted_again(
    connect: Connect, at_openai: ClosedServer, at_google: ClosedServer
) -> None:
    server = at_openai if connect is gpt else at_google
    server.script = [JsonResponse(200, ["junk"])]
    [candidate] = ask(connect(server), "text")
    assert candidate.cost.calls == 2
    server.script = [JsonResponse(200, ["junk"])]
    with pytest.raises(BackboneError, match="cannot be read"):
        ask(connect(server, max_attempts=1), "text")


@pytest.mark.parametrize("connect", [gpt, gemini])
def test_a_provider_that_is_away_fails_in_time_and_an_interrupt_ends_the_wait(connect: Connect) -> None:
    started = time.monotonic()
    with pytest.raises(BackboneError, match="no connection"):
        ask(connect(unused_url()), "text")
    backbone = connect(unused_url(), patience_s=60)
    backbone.interrupt()
    with pytest.raises(BackboneError, match="interrupted"):
        ask(backbone, "text")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("connect", [gpt, gemini])
def test_keys_come_from_the_environment_and_are_repeated_nowhere(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, at_openai: ClosedServer, at_google: ClosedServer
) -> None:
    server = at_openai if connect is gpt else at_google
    variable = "OPENAI_API_KEY" if connect is gpt else "GEMINI_API_KEY"
    monkeypatch.setenv(variable, "wrong-5678")
    backbone = connect(server)
    with pytest.raises(BackboneError, match=rf"\[key\].*\${variable}") as caught:
        ask(backbone, "text")
    assert "wrong-5678" not in f"{caught.value} {backbone}"
    [reason] = backbone.unreachable().values()
    assert "wrong-5678" not in reason
    monkeypatch.delenv(variable)
    with pytest.raises(BackboneError, match=rf"\${variable} is not set"):
        ask(connect(server), "text")


def test_a_model_that_is_not_there_is_said_before_a_run(at_openai: ClosedServer) -> None:
    assert gpt(at_openai).unreachable() == {}
    [reason] = gpt(at_openai, model="unknown").unreachable().values()
    assert "does not exist" in reason


@pytest.mark.parametrize("connect", [gpt, gemini])
def test_records_say_which_model_and_response_gave_each_answer(
    tmp_path: Path, connect: Connect, at_openai: ClosedServer, at_google: ClosedServer
) -> None:
    backbone = connect(at_openai if connect is gpt else at_google)
    arm = Arm(backbone=backbone, strategy=Direct(), benchmark=ToyBenchmark(num_samples=1))
    for folder in ("first", "replayed"):
        execute([Run(arm=arm, folder=tmp_path / folder, config={})], journal=tmp_path / "journal")
    sources = [[r["response"]["source"] for r in records(tmp_path / name)] for name in ("first", "replayed")]
    assert sources[0] == sources[1]
    assert all(
        source.startswith(("gpt-5.2-2026-08-01 resp_", "gemini-3-image-001 abc")) for source in sources[0]
    )
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"key-1234" in content for content in written)
    assert json.loads((tmp_path / "first" / "summary.json").read_text())["scored"] == 4
