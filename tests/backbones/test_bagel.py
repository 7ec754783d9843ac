"""The BAGEL backbone on a small checkpoint with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from imug_tts.backbones.bagel import PRESETS, BagelBackbone
from imug_tts.contracts import Candidate, ConfigurationError, Request, Sampling, Scalar
from imug_tts.dialogue import Image, Message, Modality, Text
from imug_tts.testing.checkpoints.bagel import write_tiny_bagel

QUICK = {"steps": 6}


@pytest.fixture(scope="module")
def bagel(tmp_path_factory: pytest.TempPathFactory) -> BagelBackbone:
    folder = tmp_path_factory.mktemp("bagel")
    write_tiny_bagel(folder, seed=0)
    return BagelBackbone(folder=folder, dtype="float64")


def picture(seed: int, width: int = 32, height: int = 32) -> Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.from_pixels(coarse.repeat(4, axis=0).repeat(4, axis=1))


def asked(*parts: str | Image) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def drew(image: Image) -> Message:
    return Message("assistant", (image,))


DIALOGUE = (asked("a house", picture(1)), drew(picture(2)), asked("add snow"))


def candidates(
    bagel: BagelBackbone,
    dialogue: Sequence[Message] = DIALOGUE,
    modality: Modality = "image",
    seeds: tuple[int, ...] = (5,),
    temperature: float = 1.0,
    **settings: Scalar,
) -> list[Candidate]:
    sampling = Sampling(temperature=temperature, max_tokens=12, settings=tuple((QUICK | settings).items()))
    request = Request(history=tuple(dialogue), modality=modality, seeds=seeds, sampling=sampling)
    return bagel.generate([request])[0]


@pytest.mark.parametrize("modality", ["image", "text"])
def test_in_float64_a_seed_gives_one_answer_alone_and_among_others(
    bagel: BagelBackbone, modality: Modality
) -> None:
    assert bagel.capabilities.seeds == "exact"
    alone = [candidates(bagel, modality=modality, seeds=(seed,))[0] for seed in (5, 6, 7)]
    assert candidates(bagel, modality=modality, seeds=(5, 6, 7)) == alone
    assert len({candidate.output for candidate in alone}) == 3


@pytest.mark.parametrize("modality", ["image", "text"])
def test_what_was_read_before_changes_nothing(bagel: BagelBackbone, modality: Modality) -> None:
    warm = candidates(bagel, modality=modality)
    unread = BagelBackbone(folder=bagel.folder, dtype="float64", prefix_cache_gib=0.0)
    assert candidates(unread, modality=modality) == candidates(unread, modality=modality) == warm


def test_a_later_turn_goes_on_from_what_was_read(bagel: BagelBackbone) -> None:
    reader = BagelBackbone(folder=bagel.folder)
    first = candidates(reader, DIALOGUE[:1])[0].cost.prompt_tokens
    before = reader.prefill_counts
    second = candidates(reader, DIALOGUE)[0].cost.prompt_tokens
    after = reader.prefill_counts
    assert before.computed <= first
    assert after.computed - before.computed <= second - first  # nothing of the first turn is computed again
    assert after.reused >= first
    candidates(reader, DIALOGUE)
    assert reader.prefill_counts.computed == after.computed
    assert [reader.drop_caches(), reader.drop_caches()] == [True, False]
    candidates(reader, DIALOGUE)
    assert reader.prefill_counts.computed > after.computed


@pytest.mark.parametrize(
    "changed",
    [
        (asked("a boat", picture(1)), *DIALOGUE[1:]),
        (asked("a house", picture(3)), *DIALOGUE[1:]),
        (DIALOGUE[0], drew(picture(3)), DIALOGUE[2]),
        (asked(picture(1), "a house"), *DIALOGUE[1:]),
    ],
)
def test_every_earlier_text_and_image_and_their_order_count(
    bagel: BagelBackbone, changed: tuple[Message, ...]
) -> None:
    assert candidates(bagel, changed)[0].output != candidates(bagel)[0].output


def test_text_depends_on_every_earlier_image(bagel: BagelBackbone) -> None:
    other = (asked("a house", picture(3)), drew(picture(2)), asked("what is it?"))
    another = (asked("a house", picture(1)), drew(picture(3)), asked("what is it?"))
    same = (asked("a house", picture(1)), drew(picture(2)), asked("what is it?"))
    texts = {candidates(bagel, each, "text")[0].output for each in (same, other, another)}
    assert len(texts) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 7},
        {"text_guidance": 5.0},
        {"image_guidance": 3.0},
        {"renorm": "channel"},
        {"renorm_min": 1.0},
        {"guidance_from": 0.9},
        {"guidance_to": 0.5},
        {"timestep_shift": 1.0},
        {"history": "plain"},
        {"preset": "edit"},
        {"preset": "text_to_image"},
        {"think": True, "think_temperature": 0.0, "think_tokens": 4},
    ],
)
def test_each_setting_changes_the_image(bagel: BagelBackbone, settings: dict[str, Scalar]) -> None:
    changed = candidates(bagel, DIALOGUE, "image", (5,), 1.0, **settings)
    assert changed[0].output != candidates(bagel)[0].output


def test_a_call_s_setting_wins_over_the_backbone_s_and_that_over_the_preset_s(bagel: BagelBackbone) -> None:
    standing = BagelBackbone(folder=bagel.folder, steps=3, image_guidance=1.0)
    request = Request(history=DIALOGUE, modality="image", seeds=(1,))
    of_backbone = standing.generate([request])[0][0].cost
    of_call = standing.generate([replace(request, sampling=Sampling(settings=(("steps", 5),)))])[0][0].cost
    assert (of_backbone.denoise_steps, of_call.denoise_steps) == (2, 4)
    assert of_backbone.nfe < 3 * 2


def test_the_presets_take_fifty_timesteps(bagel: BagelBackbone) -> None:
    assert {preset.timesteps for preset in PRESETS.values()} == {50}
    cost = candidates(bagel, preset="edit", steps=50)[0].cost
    assert (cost.denoise_steps, cost.nfe, cost.images, cost.calls) == (49, 147, 1, 1)


def test_without_guidance_a_step_is_one_evaluation(bagel: BagelBackbone) -> None:
    assert candidates(bagel, text_guidance=1.0, image_guidance=1.0)[0].cost.nfe == 5


def test_an_edit_is_as_large_as_the_last_image_and_a_first_image_as_the_setting(bagel: BagelBackbone) -> None:
    def shape(candidate: Candidate) -> tuple[int, ...]:
        assert isinstance(candidate.output, Image)
        return candidate.output.pixels().shape

    wide = (asked("a house", picture(1, width=32, height=16)),)
    assert shape(candidates(bagel, wide, size=24)[0]) == (16, 32, 3)
    assert shape(candidates(bagel, [asked("a house")], size=24)[0]) == (24, 24, 3)
    assert shape(candidates(bagel, [asked("a house")])[0]) == (32, 32, 3)


@pytest.mark.parametrize("size", [30, 64])
def test_a_size_that_the_model_cannot_draw_is_refused(bagel: BagelBackbone, size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"size is {size}; .*multiples of 4 up to 32"):
        candidates(bagel, size=size)


def test_a_greedy_thought_is_shared_and_a_drawn_one_is_each_candidate_s(bagel: BagelBackbone) -> None:
    shared = candidates(bagel, seeds=(1, 2), think=True, think_temperature=0.0, think_tokens=5)
    drawn = candidates(bagel, seeds=(1, 2), think=True, think_temperature=1.0, think_tokens=5)
    assert shared[0].thought == shared[1].thought
    assert shared[0].output != shared[1].output
    assert drawn[0].thought != drawn[1].thought
    assert drawn[1:] == candidates(bagel, seeds=(2,), think=True, think_temperature=1.0, think_tokens=5)
    assert 1 <= drawn[0].cost.new_tokens <= 5


def test_a_thought_before_an_answer_is_no_part_of_it() -> None:
    from imug_tts.backbones.bagel.writing import answer_after_thought

    assert answer_after_thought("<think>\nis it red?\n</think>\n\nyes") == ("yes", "is it red?")
    assert answer_after_thought("<think> on and on") == ("<think> on and on", None)
    assert answer_after_thought("yes") == ("yes", None)


def test_greedy_text_is_one_for_all_seeds_and_stops_at_the_most_tokens(bagel: BagelBackbone) -> None:
    greedy = candidates(bagel, modality="text", seeds=(1, 2), temperature=0.0)
    assert greedy[0] == greedy[1]
    assert greedy[0].finish == "length"
    assert greedy[0].cost.new_tokens == 12


def test_a_yes_no_call_has_the_probability_of_yes_of_its_logits(bagel: BagelBackbone) -> None:
    request = Request(history=DIALOGUE, modality="text", seeds=(1, 2), form="yes_no")
    first, second = bagel.generate([request])[0]
    assert first.p_yes == second.p_yes
    assert first.p_yes is not None
    assert 0 < first.p_yes < 1
    assert isinstance(first.output, Text)
    assert first.output.text.lower().startswith(("yes", "no"))
    assert candidates(bagel, modality="text")[0].p_yes is None


def test_weights_load_at_the_first_call_and_go_with_unload(bagel: BagelBackbone) -> None:
    fresh = BagelBackbone(folder=bagel.folder, dtype="float64")
    assert (fresh.device, fresh.is_loaded, fresh.prefill_counts.computed) == ("cpu", False, 0)
    before = candidates(fresh)
    assert fresh.is_loaded
    fresh.unload()
    assert not fresh.is_loaded
    assert candidates(fresh) == before


def test_bfloat16_draws_and_writes(bagel: BagelBackbone) -> None:
    coarse = BagelBackbone(folder=bagel.folder, dtype="bfloat16")
    image, text = candidates(coarse)[0], candidates(coarse, modality="text")[0]
    exact = candidates(bagel)[0]
    assert isinstance(image.output, Image)
    assert isinstance(exact.output, Image)
    assert isinstance(text.output, Text)
    difference = image.output.pixels().astype(int) - exact.output.pixels().astype(int)
    assert 0 < np.abs(difference).mean() < 10  # of 255
