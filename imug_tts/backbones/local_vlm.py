"""A vision-language model of transformers in this process: it reads texts and images, and writes text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Final, NamedTuple

from imug_tts.backbones.chat_messages import with_images_from_users
from imug_tts.backbones.native.checkpoint import weight_bytes
from imug_tts.backbones.native.pretrained import Pretrained, alike_requests
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    Capabilities,
    ConfigurationError,
    Cost,
    MemoryNeed,
    Request,
    Sampling,
)
from imug_tts.dialogue import Message, Text
from imug_tts.knobs import component, knob

__all__ = ["LocalVlm"]

_TOKENS_PER_TURN: Final = 1500
"""Tokens of a text and an image of usual size, for the memory estimate."""


class _Loaded(NamedTuple):
    model: Any
    processor: Any


@component
class LocalVlm(Pretrained):
    """Any model that transformers loads as "image-text-to-text", e.g. Qwen2.5-VL, InternVL3 or LLaVA.

    A yes/no call is one forward pass: P(yes) comes from the logits of the first token (VQAScore, Lin et al.
    2024, arXiv 2404.01291). Images of the assistant are moved into the user's next message, because every
    chat template accepts images there.
    """

    version: ClassVar[str] = "1"
    adapter: ClassVar[str] = "local_vlm"

    max_batch: int = knob("Maximum number of candidates in one forward pass.", default=8, ge=1, runtime=True)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text"}),
            reads_images=True,
            draws_from_images=False,
            seeds="best_effort",
            logits=True,
            max_batch=self.max_batch,
        )

    @property
    def memory(self) -> MemoryNeed:
        per_turn = _TOKENS_PER_TURN * self.bytes_per_token()
        weights = weight_bytes(self.weight_files(), self.dtype)
        return MemoryNeed(weights=weights, per_turn=per_turn, per_candidate=per_turn)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """Candidates of all requests; requests with equal form and sampling form one batch.

        Raises:
            BackboneError: the request is for an image or a reward, or an image of the history cannot be read.
            ConfigurationError: the checkpoint does not fit the model.
        """
        answers: dict[int, list[Candidate]] = {}
        for alike in alike_requests(requests):
            chosen = [requests[number] for number in alike]
            made = iter(self._answer(chosen))
            answers.update((number, list(islice(made, len(requests[number].seeds)))) for number in alike)
        return [answers[number] for number in range(len(requests))]

    def _answer(self, requests: Sequence[Request]) -> list[Candidate]:
        """One candidate for each seed of requests with equal modality, sampling and form, in order."""
        first = requests[0]
        if first.modality != "text":
            raise BackboneError("a vision-language model writes text only and cannot draw images")
        if first.form == "reward":
            raise BackboneError("this model writes text and cannot answer reward calls")
        rows = [(request.history, seed) for request in requests for seed in request.seeds]
        inputs = self._inputs([history for history, _ in rows])
        if first.form == "yes_no":
            return self._checked(inputs)
        return self._written(inputs, first.sampling, [seed for _, seed in rows])

    def _inputs(self, histories: Sequence[tuple[Message, ...]]) -> Any:
        """The model's input tensors of all prompts, padded on the left."""
        from imug_tts.backbones.native.history import chat_of
        from imug_tts.backbones.native.images import to_pillow

        model, processor = self._loaded
        chats = [chat_of(list(with_images_from_users(history))) for history in histories]
        prompts = [
            processor.apply_chat_template(chat.messages, add_generation_prompt=True, tokenize=False)
            for chat in chats
        ]
        images = [[to_pillow(image) for image in chat.images] for chat in chats]
        inputs = processor(
            text=prompts, images=images if any(images) else None, padding=True, return_tensors="pt"
        ).to(model.device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        return inputs

    def _checked(self, inputs: Any) -> list[Candidate]:
        import torch

        from imug_tts.backbones.native.yes_no import only_yes_or_no

        model, processor = self._loaded
        with torch.inference_mode():
            logits = model(**inputs, logits_to_keep=1).logits[:, -1]
        _, shares = only_yes_or_no(logits, processor.tokenizer)
        return [
            Candidate(
                output=Text("yes" if p_yes >= 0.5 else "no"),
                p_yes=p_yes,
                cost=Cost(calls=1, prompt_tokens=prompt, new_tokens=1),
            )
            for p_yes, prompt in zip(shares, _prompt_tokens(inputs), strict=True)
        ]

    def _written(self, inputs: Any, sampling: Sampling, seeds: Sequence[int]) -> list[Candidate]:
        import torch

        from imug_tts.backbones.native.sampling import GumbelNoise, random_stream

        model, processor = self._loaded
        noise = GumbelNoise([random_stream(seed, "text") for seed in seeds], sampling.temperature)
        with torch.inference_mode():
            drawn = model.generate(
                **inputs, do_sample=False, max_new_tokens=sampling.max_tokens, logits_processor=[noise]
            )
        answers = drawn[:, inputs["input_ids"].shape[1] :].tolist()
        return [
            _candidate(processor.tokenizer, answer, prompt, _ends(model))
            for answer, prompt in zip(answers, _prompt_tokens(inputs), strict=True)
        ]

    def _load(self) -> _Loaded:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        from imug_tts.backbones.native.loading import load_model, load_processor

        processor = load_processor(AutoProcessor, self.folder)
        processor.tokenizer.padding_side = "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        model = load_model(AutoModelForImageTextToText, self)
        model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
        return _Loaded(model, processor)

    @cached_property
    def configuration(self) -> dict[str, Any]:
        config = super().configuration
        if "vision_config" not in config:
            raise ConfigurationError(
                f"{self.folder / 'config.json'} has no vision_config: this model reads no images; give the "
                "folder of a vision-language model in transformers' layout"
            )
        return config


def _prompt_tokens(inputs: Any) -> list[int]:
    counts: list[int] = inputs["attention_mask"].sum(dim=1).tolist()
    return counts


def _ends(model: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


def _candidate(tokenizer: Any, answer: Sequence[int], prompt: int, ends: frozenset[int]) -> Candidate:
    """The answer up to its first end token; without one, the token limit cut it off."""
    length = next((at for at, token in enumerate(answer) if token in ends), None)
    text = tokenizer.decode(answer[:length], skip_special_tokens=True)
    new = len(answer) if length is None else length + 1
    return Candidate(
        output=Text(text),
        finish="length" if length is None else "stop",
        cost=Cost(calls=1, prompt_tokens=prompt, new_tokens=new),
    )
