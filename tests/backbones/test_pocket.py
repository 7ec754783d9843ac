"""The pocket backbone with the shipped weights, against the contract of backbones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imug_tts.backbones.pocket import PocketBackbone
from imug_tts.backbones.pocket.backbone import WEIGHTS
from imug_tts.contracts import Backbone, BackboneError, Candidate, ConfigurationError, Request, Sampling
from imug_tts.dialogue import Image, Message, Modality, Part, Text

FIRST = "draw a red star at a1 , a blue circle at c3 , an ice at d2 , a seed at b4 , an ash at a3"
SECOND = "move the red star to b2 , then gravity"
QUESTION = "where is the red star ? A b4 B a1 C b2 D c3"
GREEDY = Sampling(temperature=0)


def user(*texts: str) -> Message:
    return Message("user", tuple(Text(text) for text in texts))


def ask(history: tuple[Message, ...], modality: Modality, *seeds: int, **options: object) -> Request:
    return replace(Request(history=history, modality=modality, seeds=seeds or (1,)), **options)  # type: ignore[arg-type]


def content(candidates: list[Candidate]) -> list[tuple[object, ...]]:
    """What must not depend on the batch: everything but seconds."""
    return [(c.output, c.finish, c.thought, c.p_yes, replace(c.cost, seconds=0)) for c in candidates]


@pytest.fixture(scope="module")
def backbone() -> PocketBackbone:
    return PocketBackbone()


@pytest.fixture(scope="module")
def picture(backbone: PocketBackbone) -> Image:
    drawn = backbone.generate([ask((user(FIRST),), "image", 5)])[0][0].output
    assert isinstance(drawn, Image)
    return drawn


@pytest.fixture(scope="module")
def requests(picture: Image) -> list[Request]:
    """Every kind of call, at different lengths of history."""
    said = Message("assistant", (picture,))
    answered = Message("assistant", (Text("B"),))
    later = (user(FIRST), said, user(QUESTION), answered)
    plan = "move the red star : a1 empty b2 red star"
    return [
        ask((user(FIRST),), "image", 1, 2, 3),
        ask((*later, user(SECOND)), "image", 1, 2),
        ask((user(FIRST), said, user(SECOND)), "image", 7),
        ask((*later, user(SECOND, f"plan {plan}")), "image", 1, 4),
        ask((*later, user(SECOND, "plan")), "text", 1, 2, sampling=Sampling(temperature=0.7)),
        ask((*later, user(SECOND, "plan")), "text", 9, sampling=GREEDY),
        ask((*later, user(SECOND), said, user(f"check {plan}")), "text", 1, form="yes_no"),
        ask((user(FIRST), said, user("check")), "text", 1, form="yes_no"),
        ask((user(FIRST), said, user(QUESTION)), "text", 1, 2),
        ask((user("fetch me a coffee"),), "image", 1),
    ]


def test_it_keeps_the_protocol(backbone: PocketBackbone) -> None:
    assert isinstance(backbone, Backbone)
    assert backbone.capabilities.seeds == "exact"
    assert backbone.capabilities.prompts == "pocket"
    assert backbone.identity.startswith("pocket:")


def test_importing_and_naming_it_loads_no_torch() -> None:
    code = "import sys; from imug_tts import PocketBackbone as B; B().identity; B().capabilities"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


def test_every_call_answers_in_its_form(backbone: PocketBackbone, requests: list[Request]) -> None:
    answers = backbone.generate(requests)
    assert [len(candidates) for candidates in answers] == [len(request.seeds) for request in requests]
    for candidates in answers[:4]:
        for candidate in candidates:
            assert isinstance(candidate.output, Image)
            assert candidate.output.pixels().shape == (64, 64, 3)
            assert candidate.cost.images == 1
            assert candidate.cost.nfe == candidate.cost.new_tokens == 16
    check = answers[6][0]
    assert isinstance(check.output, Text)
    assert check.p_yes is not None
    assert (check.output.text == "yes") == (check.p_yes >= 0.5)
    assert check.output.text.split()[0] in ("yes", "no")
    assert {c.output.text for c in answers[8] if isinstance(c.output, Text)} <= set("ABCD")
    assert answers[8][0].thought in ("b4", "a1", "b2", "c3")
    refusal = answers[9][0]
    assert (refusal.output, refusal.finish) == (None, "refused")
    assert "fetch" in (refusal.reason or "")


def test_forks_and_batches_and_caches_change_nothing(requests: list[Request]) -> None:
    """Each seed alone on a cold cache is the yardstick; then all together, warm, and in another order."""
    alone = [
        [
            content(PocketBackbone().generate([replace(request, seeds=(seed,))])[0])[0]
            for seed in request.seeds
        ]
        for request in requests
    ]
    backbone = PocketBackbone()
    for _ in range(2):
        assert [content(candidates) for candidates in backbone.generate(requests)] == alone
    backwards = PocketBackbone().generate(requests[::-1])
    assert [content(candidates) for candidates in backwards[::-1]] == alone


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_batch_gives_the_same_candidates(
    backbone: PocketBackbone, requests: list[Request], data: st.DataObject
) -> None:
    """Random subsets, orders, numbers of seeds and repetitions."""
    batch = [
        replace(request, seeds=tuple(data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=9))))
        for request in data.draw(st.lists(st.sampled_from(requests), min_size=1, max_size=24))
    ]
    for request, candidates in zip(batch, backbone.generate(batch), strict=True):
        seed = request.seeds[-1]
        assert content(backbone.generate([replace(request, seeds=(seed,))])[0])[0] == content(candidates)[-1]


def test_seeds_differ_and_temperature_zero_has_no_seed(backbone: PocketBackbone) -> None:
    free = user("draw a red star at a1 , then add an ash anywhere")
    drawn = backbone.generate([ask((free,), "image", *range(12))])[0]
    assert len({candidate.output for candidate in drawn}) > 1
    greedy = backbone.generate([ask((free,), "image", *range(6), sampling=GREEDY)])[0]
    assert len({candidate.output for candidate in greedy}) == 1


def test_the_checklist_is_the_greedy_plan_on_one_line(backbone: PocketBackbone, picture: Image) -> None:
    history = (user(FIRST), Message("assistant", (picture,)))
    plans = [
        backbone.generate([ask((*history, user(SECOND, note)), "text", 3, sampling=GREEDY)])[0][0].output
        for note in ("plan", "checklist")
    ]
    assert plans[0] == plans[1]
    assert isinstance(plans[0], Text)
    assert plans[0].text.startswith("move red star a1")
    assert "\n" not in plans[0].text


def test_a_question_can_be_answered_in_two_steps(backbone: PocketBackbone, picture: Image) -> None:
    history = (user(FIRST), Message("assistant", (picture,)))
    value = backbone.generate([ask((*history, user(QUESTION, "answer")), "text", sampling=GREEDY)])[0][
        0
    ].output
    assert isinstance(value, Text)
    letter = backbone.generate(
        [ask((*history, user(QUESTION, f"answer {value.text}")), "text", sampling=GREEDY)]
    )
    at_once = backbone.generate([ask((*history, user(QUESTION)), "text", sampling=GREEDY)])
    assert letter[0][0].output == at_once[0][0].output
    assert at_once[0][0].thought == value.text


def test_a_spoiled_picture_is_rejected_and_its_cells_named(backbone: PocketBackbone) -> None:
    request = "draw a red star at a1 , a blue circle at c3 , an ice at d2 , a seed at b4 , an ash at a3"
    plan = "draw a1 red star d2 ice a3 ash c3 blue circle b4 seed"
    drawn = backbone.generate([ask((user(request),), "image", 1, sampling=GREEDY)])[0][0].output
    assert isinstance(drawn, Image)
    pixels = drawn.pixels().copy()
    pixels[:16, :16] = pixels[:16, 16:32]  # the star is gone
    verdicts = []
    for part in (drawn, Image.from_pixels(pixels)):
        history = (user(request), Message("assistant", (part,)), user(f"check {plan}"))
        verdicts.append(backbone.generate([ask(history, "text", form="yes_no")])[0][0])
    assert verdicts[0].output == Text("yes")
    assert isinstance(verdicts[1].output, Text)
    assert verdicts[1].output.text.split()[:2] == ["no", "a1"]


@pytest.mark.parametrize(
    ("history", "modality"),
    [
        ((user("check"),), "text"),
        ((user("what is at b2"),), "text"),
        ((user("where is the ash ? A b2 B"),), "text"),
    ],
)
def test_what_it_cannot_read_is_refused_and_the_rest_answered(
    backbone: PocketBackbone, history: tuple[Message, ...], modality: Modality
) -> None:
    refused, drawn = backbone.generate([ask(history, modality, 1, 2), ask((user(FIRST),), "image")])
    assert [candidate.finish for candidate in refused] == ["refused", "refused"]
    assert drawn[0].finish == "stop"


def test_an_unreadable_image_fails_the_batch(backbone: PocketBackbone) -> None:
    parts: tuple[Part, ...] = (Image.from_bytes(b"not a picture"),)
    with pytest.raises(BackboneError, match="cannot be read"):
        backbone.generate([ask((user(FIRST), Message("assistant", parts), user(SECOND)), "image")])


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json", "checksums.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "weights")
    (folder / name).unlink()
    with pytest.raises(ConfigurationError, match=name):
        _ = PocketBackbone(folder=folder).identity


def test_damaged_weights_are_refused_before_any_compute(tmp_path: Path) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "weights")
    damaged = bytearray((folder / "model.safetensors").read_bytes())
    damaged[-5] ^= 1
    (folder / "model.safetensors").write_bytes(damaged)
    with pytest.raises(ConfigurationError, match=r"model\.safetensors has SHA-256 .* restore it"):
        _ = PocketBackbone(folder=folder).identity
    with pytest.raises(BackboneError, match="restore it"):
        PocketBackbone(folder=folder).generate([ask((user(FIRST),), "image")])


def test_weights_of_another_hash_are_another_model(tmp_path: Path, backbone: PocketBackbone) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "weights")
    assert PocketBackbone(folder=folder).identity == backbone.identity
    checksums = json.loads((folder / "checksums.json").read_text())
    checksums["config.json"] = "0" * 64
    (folder / "checksums.json").write_text(json.dumps(checksums))
    with pytest.raises(ConfigurationError, match="from another model"):
        _ = PocketBackbone(folder=folder).identity


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= 8_000_000
