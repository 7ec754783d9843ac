"""The pocket model without a framework: transformers' `generate`, one turn at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LlamaForCausalLM

from imug_tts.backbones.pocket import layout
from imug_tts.backbones.pocket.backbone import WEIGHTS
from imug_tts.backbones.pocket.image_tokenizer import ImageTokenizer
from imug_tts.backbones.pocket.reading import AnswerCall, DrawCall, read
from imug_tts.backbones.pocket.vocabulary import ANSWER, Vocabulary
from imug_tts.contracts import Request
from imug_tts.dialogue import Image, Message, Part, Question, Sample, Text

__all__ = ["PlainPocket"]


class PlainPocket:
    """The pocket model's Llama weights in transformers; every turn prefills its whole history."""

    def __init__(self) -> None:
        # Any: mypy holds `generate` against a protocol that transformers' own classes miss.
        self._model: Any = LlamaForCausalLM.from_pretrained(WEIGHTS)
        self._tokenizer = ImageTokenizer.load(WEIGHTS / "image_tokenizer.safetensors")
        self._vocabulary = Vocabulary.load(WEIGHTS / "vocabulary.json")

    def play(self, sample: Sample) -> list[Part]:
        """The answers to all turns of a dialogue on its own history."""
        history: list[Message] = []
        outputs: list[Part] = []
        for question in sample.questions:
            history.append(Message("user", question.parts))
            outputs.append(self._answer(question, tuple(history)))
            history.append(Message("assistant", (outputs[-1],)))
        return outputs

    def _answer(self, question: Question, history: tuple[Message, ...]) -> Part:
        request = Request(history=history, modality=question.modality, seeds=(0,))
        call = read(request, self._vocabulary, lambda image: self._tokenizer.encode(image.pixels()))
        if isinstance(call, DrawCall):
            prompt = [*sum(call.prompt, ()), *layout.image(self._vocabulary, [])]
            return self._draw(prompt)
        assert isinstance(call, AnswerCall)
        return self._choose([*sum(call.prompt, ()), ANSWER], call.offered)

    def _draw(self, prompt: Sequence[int]) -> Image:
        words, cells, codes = (
            self._vocabulary.first_id,
            self._vocabulary.num_cells,
            self._vocabulary.num_codes,
        )

        def allowed(_batch: int, ids: torch.Tensor) -> list[int]:
            first = words(len(ids) - len(prompt))
            return list(range(first, first + codes))

        drawn = self._generate(prompt, cells, allowed, do_sample=True)
        picture = [token - words(cell) for cell, token in enumerate(drawn)]
        return Image.from_pixels(self._tokenizer.decode(picture))

    def _choose(self, prompt: Sequence[int], offered: Sequence[tuple[int, int]]) -> Text:
        def allowed(_batch: int, ids: torch.Tensor) -> list[int]:
            return [pair[len(ids) - len(prompt)] for pair in offered]

        return Text(self._vocabulary.decode(self._generate(prompt, 2, allowed, do_sample=False)[1:]))

    def _generate(
        self,
        prompt: Sequence[int],
        new_tokens: int,
        allowed: Callable[[int, torch.Tensor], list[int]],
        *,
        do_sample: bool,
    ) -> list[int]:
        ids = torch.tensor([prompt])
        made = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=do_sample,
            top_k=0 if do_sample else None,
            prefix_allowed_tokens_fn=allowed,
            pad_token_id=0,
        )
        tokens: list[int] = made[0, len(prompt) :].tolist()
        return tokens
