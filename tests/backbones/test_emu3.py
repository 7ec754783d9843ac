"""Emu3 against transformers' own paths: the same prompts, tokens and pictures, with images in the history."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Emu3ForConditionalGeneration, Emu3Processor

from imug_tts.backbones.emu3 import Emu3Backbone
from imug_tts.contracts import BackboneError, ConfigurationError, Request, Sampling
from imug_tts.dialogue import Image, Message, Text

PICTURE = Image.from_pixels(np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3))
# Of one size: transformers pads images of a batch to the largest, and the encoder sees the padding.
OTHER = Image.from_pixels(np.full((32, 32, 3), 200, dtype=np.uint8))
ALONE = (Message("user", (Text("draw a cat"),)),)
SEEN = (*ALONE, Message("assistant", (PICTURE,)), Message("user", (OTHER, Text("now like this"))))
GREEDY = Sampling(temperature=0, max_tokens=24)
SIDE = 4
"""Tokens of a side of a drawn image."""


class Stock:
    """The checkpoint as transformers' documentation runs it, with the head of an image after the prompt."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = Emu3ForConditionalGeneration.from_pretrained(folder, dtype=torch.float64)
        untyped: Any = Emu3Processor
        self.processor: Any = untyped.from_pretrained(folder)

    def inputs(self, history: tuple[Message, ...], head: str = "") -> Any:
        chat = [
            {
                "role": message.role,
                "content": [
                    {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"}
                    for part in message.parts
                ],
            }
            for message in history
        ]
        pictures = [part.pixels() for message in history for part in message.parts if isinstance(part, Image)]
        text = self.processor.apply_chat_template(chat, add_generation_prompt=True) + head
        return self.processor(text=text, images=pictures or None, return_tensors="pt").to(torch.float64)

    def draw(self, history: tuple[Message, ...], negative: str) -> np.ndarray[Any, Any]:
        inputs = self.inputs(history, f"<|image start|>{SIDE}*{SIDE}<|image token|>")
        area = (8 * SIDE) ** 2
        without = self.processor(
            text=[negative], return_for_image_generation=True, image_area=area, return_tensors="pt"
        )
        start, mapping = inputs["input_ids"].shape[1], self.model.vocabulary_mapping

        def allowed(_batch: int, ids: torch.Tensor) -> list[int]:
            is_end = (len(ids) - start) % (SIDE + 1) == SIDE
            return [mapping.eol_token_id] if is_end else mapping.image_tokens

        tokens = self.model.generate(
            **inputs,
            max_new_tokens=SIDE * (SIDE + 1),
            do_sample=False,
            guidance_scale=3.0,
            negative_prompt_ids=without["input_ids"],
            negative_prompt_attention_mask=without["attention_mask"],
            prefix_allowed_tokens_fn=allowed,
        )[:, start:]
        padded = torch.cat([tokens, tokens[:, -3:]], dim=1)
        pixels = self.model.decode_image_tokens(image_tokens=padded, height=SIDE, width=SIDE)
        shown = self.processor.postprocess(list(pixels.float()), return_tensors="PIL.Image.Image")
        return np.asarray(shown["pixel_values"][0])


@pytest.fixture(scope="module")
def stock(tiny_emu3: Path) -> Stock:
    return Stock(tiny_emu3)


@pytest.fixture(scope="module")
def backbone(tiny_emu3: Path) -> Emu3Backbone:
    return Emu3Backbone(folder=tiny_emu3, dtype="float64", context_images=None, negative_prompt="ugly")


@pytest.mark.parametrize("history", [ALONE, SEEN], ids=["without images", "with two images"])
def test_greedy_images_equal_those_of_transformers(
    stock: Stock, backbone: Emu3Backbone, history: tuple[Message, ...]
) -> None:
    request = Request(history=history, modality="image", seeds=(3,), sampling=GREEDY)
    made = backbone.generate([request])[0][0].output
    assert isinstance(made, Image)
    assert np.array_equal(made.pixels(), stock.draw(history, "ugly"))


def test_greedy_texts_with_images_equal_those_of_transformers(stock: Stock, backbone: Emu3Backbone) -> None:
    inputs = stock.inputs(SEEN)
    new = stock.model.generate(**inputs, do_sample=False, max_new_tokens=24)[
        0, inputs["input_ids"].shape[1] :
    ]
    request = Request(history=SEEN, modality="text", seeds=(1,), sampling=GREEDY)
    answer = backbone.generate([request])[0][0]
    assert answer.output == Text(stock.processor.decode(new, skip_special_tokens=True).strip())
    assert answer.cost.prompt_tokens == inputs["input_ids"].shape[1]


def test_the_negative_prompt_changes_the_image_only_with_guidance(
    tiny_emu3: Path, backbone: Emu3Backbone
) -> None:
    other = Emu3Backbone(folder=tiny_emu3, dtype="float64", context_images=None, negative_prompt="blurry")
    for guidance, is_same in ((3, False), (1, True)):
        sampling = Sampling(settings=(("guidance", guidance),))
        request = Request(history=ALONE, modality="image", seeds=(1,), sampling=sampling)
        [[one]], [[two]] = backbone.generate([request]), other.generate([request])
        assert (one.output == two.output) is is_same


def test_a_negative_prompt_with_an_image_mark_is_refused_before_weights_are_loaded(tiny_emu3: Path) -> None:
    marked = Emu3Backbone(folder=tiny_emu3, negative_prompt="ugly <|image start|>")
    for _ in range(2):
        with pytest.raises(
            ConfigurationError, match=r"negative_prompt contains '<\|image start\|>'.*remove it"
        ):
            _ = marked.identity
    assert not marked.is_loaded


def test_the_area_of_an_image_is_a_setting(backbone: Emu3Backbone) -> None:
    sampling = Sampling(settings=(("image_area", 64 * 64),))
    request = Request(history=ALONE, modality="image", seeds=(1,), sampling=sampling)
    [[made]] = backbone.generate([request])
    assert isinstance(made.output, Image)
    assert made.output.pixels().shape == (64, 64, 3)
    assert made.cost.new_tokens == 8 * 9 - 1


def test_only_the_newest_images_are_in_the_prompt(tiny_emu3: Path) -> None:
    one = Emu3Backbone(folder=tiny_emu3, dtype="float64", context_images=1)
    assert one.capabilities.context_images == 1

    def drawn(first: Image, second: Image) -> object:
        history = (Message("user", (first, Text("and"), second)),)
        request = Request(history=history, modality="image", seeds=(1,), sampling=GREEDY)
        return one.generate([request])[0][0].output

    assert drawn(PICTURE, OTHER) == drawn(OTHER, OTHER)
    assert drawn(PICTURE, OTHER) != drawn(PICTURE, PICTURE)


def test_context_images_can_be_made_smaller(tiny_emu3: Path, backbone: Emu3Backbone) -> None:
    small = Emu3Backbone(folder=tiny_emu3, dtype="float64", context_images=None, context_area=16 * 16)
    request = Request(history=SEEN, modality="text", seeds=(1,), sampling=GREEDY)
    [[less]], [[more]] = small.generate([request]), backbone.generate([request])
    assert less.cost.prompt_tokens == more.cost.prompt_tokens - 2 * (4 * 5 - 2 * 3)


def test_images_that_do_not_fit_are_refused_with_the_numbers(tiny_emu3: Path) -> None:
    huge = Emu3Backbone(folder=tiny_emu3, image_area=1024 * 1024)
    request = Request(history=ALONE, modality="image", seeds=(1,), sampling=GREEDY)
    with pytest.raises(BackboneError, match=r"the answer 16511; the model takes 9216 in total. Shorten"):
        huge.generate([request])


def test_a_checkpoint_without_a_chat_template_gets_the_parts_in_order(
    tiny_emu3: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "generator"
    shutil.copytree(tiny_emu3, copied)
    (copied / "chat_template.jinja").unlink()
    plain = Emu3Backbone(folder=copied, context_images=None)
    request = Request(history=ALONE, modality="text", seeds=(1,), sampling=GREEDY)
    assert plain.generate([request])[0][0].cost.prompt_tokens == len("draw a cat") + 1
