"""The client of vLLM-Omni against a server with the engine's traps: what is sent, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from imug_tts.backbones.vllm_omni import VllmOmniBackbone
from imug_tts.contracts import BackboneError, Candidate, ConfigurationError, Form, Request, Sampling
from imug_tts.dialogue import Image, Message, Modality, Text
from imug_tts.registry import model_identity
from imug_tts.testing.infer_servers import unused_url
from imug_tts.testing.omni_server import Faults, OmniServer, omni_server
from imug_tts.testing.toys import picture

RED, BLUE, GREEN = picture("red"), picture("blue"), picture("green")
DIALOGUE = (
    Message("user", (Text("Look at these."), RED, GREEN)),
    Message("assistant", (Text("A blue one:"), BLUE)),
    Message("user", (Text("Make it larger."),)),
)
ONE_TURN = (Message("user", (Text("Draw a kite."),)),)


def client(*servers: OmniServer, **knobs: Any) -> VllmOmniBackbone:
    urls = [server.url for server in servers]
    return VllmOmniBackbone(**{"urls": urls, "model": "umm", "timeout_s": 5.0, "patience_s": 1.0, **knobs})


def ask(
    backbone: VllmOmniBackbone,
    history: Sequence[Message] = DIALOGUE,
    modality: Modality = "image",
    *seeds: int,
    form: Form = "free",
    **sampling: Any,
) -> list[Candidate]:
    settings = Sampling(**{"temperature": 0.7, "max_tokens": 16, **sampling})
    [made] = backbone.generate(
        [
            Request(
                history=tuple(history), modality=modality, seeds=seeds or (1,), sampling=settings, form=form
            )
        ]
    )
    return made


def text_of(body: dict[str, Any]) -> str:
    text: str = body["messages"][-1]["content"][0]["text"]
    return text


def images_of(body: dict[str, Any]) -> list[str]:
    return [
        part["image_url"]["url"]
        for message in body["messages"]
        for part in message["content"]
        if isinstance(part, dict) and part["type"] == "image_url"
    ]


@pytest.mark.parametrize(
    ("family", "server"),
    [
        ("bagel", {}),
        ("bagel_single", {"stages": False}),
        ("hunyuan_image3", {"images": 3}),
        ("sensenova_u1", {"stages": False, "images": 99}),
        ("lance", {"stages": False}),
        ("edit", {"stages": False, "images": 4}),
    ],
)
def test_seeds_are_candidates_that_repeat_in_every_family(family: str, server: dict[str, Any]) -> None:
    with omni_server(**server) as running:
        backbone = client(running, family=family)
        first, second, again = ask(backbone, DIALOGUE, "image", 1, 2, 1)
    assert first.output == again.output != second.output
    assert isinstance(first.output, Image)
    assert first.cost.images == first.cost.calls == 1


def test_a_history_becomes_one_text_with_the_newest_image_beside_it() -> None:
    with omni_server() as server:
        ask(client(server))
        ask(client(server), ONE_TURN)
    whole, alone = server.bodies
    assert text_of(whole) == (
        "<|im_start|>User: Look at these. (an image that is not shown) (an image that is not shown)\n"
        "Assistant: A blue one: (image 1)\n"
        "User: Make it larger.<|im_end|>"
    )
    assert len(images_of(whole)) == 1
    assert text_of(alone) == "<|im_start|>Draw a kite.<|im_end|>"
    assert [body["modalities"] for body in (whole, alone)] == [["image"], ["image"]]


def test_images_stand_where_they_were_where_the_model_takes_them_in_place() -> None:
    history = (Message("system", (Text("Be brief. <image>"),)), *DIALOGUE)
    with omni_server(stages=False, images=99) as server:
        ask(client(server, family="sensenova_u1"), history)
    [body] = server.bodies
    assert text_of(body) == (
        "Be brief. (image)\nLook at these. <image> <image><|im_end|>\n<|im_start|>assistant\n"
        "A blue one: <image><|im_end|>\n<|im_start|>user\nMake it larger."
    )
    assert len(images_of(body)) == 3


@pytest.mark.parametrize(("history", "path"), [(ONE_TURN, "generations"), (DIALOGUE, "edits")])
def test_hunyuan_draws_through_the_images_api_where_seeds_reach_all_stages(
    history: Sequence[Message], path: str
) -> None:
    with omni_server(images=3) as server:
        [candidate] = ask(client(server, family="hunyuan_image3", steps=20, guidance=3.5), history)
    [(asked, body)] = server.asked
    assert asked == f"/v1/images/{path}"
    assert (str(body["seed"]), str(body["num_inference_steps"])) == ("1", "20")
    assert len(body.get("images", [])) == (3 if path == "edits" else 0)
    assert candidate.thought == "a plan"


def test_settings_reach_the_stage_that_reads_them_and_a_call_may_change_them() -> None:
    with omni_server() as server:
        knobs = {"steps": 30, "size": "768x512", "guidance": 5.0, "negative_prompt": "fog"}
        backbone = client(server, **knobs, extra={"cfg_img_scale": 2.0})
        ask(backbone)
        [candidate] = ask(backbone, settings=(("steps", 10), ("size", "256x256")))
    usual, changed = server.bodies
    assert usual["sampling_params_list"][1] == {
        "seed": 1,
        "num_inference_steps": 30,
        "negative_prompt": "fog",
        "extra_args": {"cfg_text_scale": 5.0, "cfg_img_scale": 2.0},
    }
    assert (usual["width"], usual["height"]) == (768, 512)
    assert changed["sampling_params_list"][1]["num_inference_steps"] == 10
    assert (changed["width"], changed["height"]) == (256, 256)
    assert candidate.cost.denoise_steps == 9


@pytest.mark.parametrize(
    ("steps", "extra", "nfe"),
    [(2, {}, 3), (50, {}, 131), (50, {"cfg_img_scale": 1.0}, 90), (50, {"cfg_interval": [0.0, 1.0]}, 147)],
)
def test_evaluations_of_the_network_count_guidance_branches(
    steps: int, extra: dict[str, Any], nfe: int
) -> None:
    with omni_server() as server:
        [candidate] = ask(client(server, steps=steps, extra=extra))
    assert (candidate.cost.denoise_steps, candidate.cost.nfe) == (steps - 1, nfe)


def test_texts_are_sampled_by_their_seeds_and_see_all_roles_and_one_image() -> None:
    with omni_server() as server:
        backbone = client(server)
        first, second, again = ask(backbone, DIALOGUE, "text", 1, 2, 1)
        [greedy], [greedy_too] = (ask(backbone, DIALOGUE, "text", n, temperature=0) for n in (1, 2))
    assert first.output == again.output != second.output
    assert greedy.output == greedy_too.output
    assert (first.cost.prompt_tokens, first.cost.new_tokens, first.cost.images) == (20, 5, 0)
    body = server.bodies[0]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert len(images_of(body)) == 1
    assert (body["modalities"], body["max_tokens"]) == (["text"], 16)
    assert isinstance(first.output, Text)
    assert len(first.output.text) == 4 * 16


@pytest.mark.parametrize(
    ("family", "stages", "p_yes"),
    [
        ("bagel", True, (math.exp(-0.5) + math.exp(-3)) / (math.exp(-0.5) + math.exp(-3) + math.exp(-1.5))),
        ("lance", False, None),
    ],
)
def test_p_yes_comes_from_the_first_token_where_there_is_a_language_stage(
    family: str, stages: bool, p_yes: float | None
) -> None:
    with omni_server(stages=stages) as server:
        backbone = client(server, family=family)
        [candidate] = ask(backbone, DIALOGUE, "text", form="yes_no")
    assert candidate.p_yes == (None if p_yes is None else pytest.approx(p_yes))
    assert backbone.capabilities.logits is (p_yes is not None)


def test_a_reply_of_status_200_without_an_image_is_a_failure_with_its_words() -> None:
    said = "no image: Image generation completed but no images"
    with omni_server(faults=Faults(draws_nothing=True)) as server, pytest.raises(BackboneError, match=said):
        ask(client(server, max_attempts=2))
    assert len(server.asked) == 2


def test_what_a_guardrail_stops_is_a_refusal_and_no_failure() -> None:
    with omni_server() as server:
        [candidate] = ask(client(server), (Message("user", (Text("guard me"),)),))
    assert (candidate.output, candidate.finish, candidate.reason) == (None, "refused", "stopped")


def test_a_key_is_read_from_the_environment_and_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    with omni_server(key="secret-1234") as server:
        monkeypatch.setenv("VLLM_API_KEY", "secret-1234")
        ask(client(server))
        monkeypatch.setenv("VLLM_API_KEY", "wrong-5678")
        with pytest.raises(BackboneError, match="401") as caught:
            ask(client(server))
    assert "wrong-5678" not in str(caught.value)
    assert "[key]" in str(caught.value)


def test_servers_that_serve_another_model_or_do_not_answer_are_named() -> None:
    with omni_server(model="other") as server:
        backbone = VllmOmniBackbone(urls=[f"{server.url}/v1/", unused_url()], model="umm")
        away = backbone.unreachable()
    assert away.pop(server.url) == "it serves other, not umm"
    assert "no answer to GET /health" in next(iter(away.values()))


def test_what_changes_an_answer_is_part_of_its_identity() -> None:
    usual = VllmOmniBackbone(model="umm")
    assert model_identity(usual) == "vllm_omni:1:umm:bagel"
    others: list[dict[str, Any]] = [
        {"steps": 20},
        {"size": "512x512"},
        {"guidance": 3.0},
        {"negative_prompt": "fog"},
        {"think": True},
        {"images": 0},
        {"extra": {"cfg_img_scale": 2.0}},
        {"family": "lance"},
    ]
    known = {model_identity(VllmOmniBackbone(model="umm", **knobs)) for knobs in others}
    assert len(known | {model_identity(usual)}) == len(others) + 1
    assert model_identity(VllmOmniBackbone(model="umm", urls=["http://h:1"], per_server=9)) in model_identity(
        usual
    )


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"size": "large"}, "size is 'large'"),
        ({"images": 2}, "images is 2; bagel accepts 1 at most"),
        ({"family": "janus"}, "family is 'janus'"),
        ({"urls": ["gpu1:8000"]}, "http://HOST:PORT"),
    ],
)
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        VllmOmniBackbone(model="umm", **knobs)
