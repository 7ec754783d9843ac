"""Janus against transformers' own paths: the same prompts, tokens, pictures and probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationMixin, JanusForConditionalGeneration, JanusProcessor

from imug_tts.backbones.janus import JanusBackbone
from imug_tts.contracts import Request, Sampling
from imug_tts.dialogue import Image, Message, Text

PICTURE = Image.from_pixels(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
SEEN = (
    Message("user", (Text("draw a cat"),)),
    Message("assistant", (PICTURE,)),
    Message("user", (PICTURE, Text("is it a cat?"))),
)
GREEDY = Sampling(temperature=0, max_tokens=24)


class Stock:
    """The checkpoint as transformers' documentation runs it."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = JanusForConditionalGeneration.from_pretrained(folder, dtype=torch.float64)
        self.processor: Any = JanusProcessor.from_pretrained(folder)

    def inputs(self, history: tuple[Message, ...], mode: str) -> Any:
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
        text = self.processor.apply_chat_template(chat, add_generation_prompt=True)
        words = {"text": text, "images": pictures or None, "generation_mode": mode}
        return self.processor(**words, return_tensors="pt").to(torch.float64)

    def draw(self, history: tuple[Message, ...], guidance: float) -> np.ndarray[Any, Any]:
        config = self.model.generation_config
        config.generation_kwargs = {"boi_token_id": self.processor.tokenizer.boi_token_id}
        ids = self.inputs(history, "image")
        words = {"generation_mode": "image", "do_sample": False, "guidance_scale": guidance}
        tokens = self.model.generate(**ids, **words, generation_config=config)
        with torch.inference_mode():
            pixels = self.model.model.vqmodel.decode(tokens)[0].float()
        shown = self.processor.image_processor.postprocess([pixels], return_tensors="PIL.Image.Image")
        return np.asarray(shown["pixel_values"][0])


@pytest.fixture(scope="module")
def stock(tiny_janus: Path) -> Stock:
    return Stock(tiny_janus)


@pytest.fixture(scope="module")
def backbone(tiny_janus: Path) -> JanusBackbone:
    return JanusBackbone(folder=tiny_janus, dtype="float64")


@pytest.mark.parametrize("guidance", [5.0, 2.0])
def test_greedy_images_equal_those_of_transformers(
    stock: Stock, backbone: JanusBackbone, guidance: float
) -> None:
    history = (Message("system", (Text("Be brief."),)), SEEN[0])
    sampling = Sampling(temperature=0, settings=(("guidance", guidance),))
    request = Request(history=history, modality="image", seeds=(3,), sampling=sampling)
    made = backbone.generate([request])[0][0].output
    assert isinstance(made, Image)
    assert np.array_equal(made.pixels(), stock.draw(history, guidance))


def test_greedy_texts_with_images_equal_those_of_transformers(stock: Stock, backbone: JanusBackbone) -> None:
    inputs = stock.inputs(SEEN, "text")
    made = GenerationMixin.generate(
        stock.model, **inputs, do_sample=False, max_new_tokens=24, guidance_scale=None
    )
    new = made[0, inputs["input_ids"].shape[1] :]
    request = Request(history=SEEN, modality="text", seeds=(1,), sampling=GREEDY)
    answer = backbone.generate([request])[0][0]
    assert answer.output == Text(stock.processor.decode(new, skip_special_tokens=True).strip())
    assert answer.cost.prompt_tokens == inputs["input_ids"].shape[1]


def test_p_yes_is_the_softmax_over_the_words_for_yes_and_no(stock: Stock, backbone: JanusBackbone) -> None:
    with torch.inference_mode():
        logits = stock.model(**stock.inputs(SEEN, "text")).logits[0, -1]
    yes, no = (
        logits[[stock.processor.tokenizer.convert_tokens_to_ids(word) for word in words]].exp().sum()
        for words in (("yes", "Yes"), ("no", "No"))
    )
    request = Request(history=SEEN, modality="text", seeds=(1,), sampling=GREEDY, form="yes_no")
    assert backbone.generate([request])[0][0].p_yes == pytest.approx((yes / (yes + no)).item(), abs=1e-6)
