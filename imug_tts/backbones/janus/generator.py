"""Janus' prompts, image features and image tokens."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import JanusForConditionalGeneration, JanusProcessor
from transformers.models.janus.processing_janus import DEFAULT_SYSTEM_PROMPT

from imug_tts.backbones.native.generator import Canvas, Drawing, Prompt, TokenGenerator
from imug_tts.backbones.native.history import chat_of
from imug_tts.backbones.native.images import from_pillow, to_pillow
from imug_tts.backbones.native.loading import load_model, load_processor
from imug_tts.backbones.native.placement import input_device
from imug_tts.backbones.native.prefill import PrefixStore
from imug_tts.contracts import Request
from imug_tts.dialogue import Image

if TYPE_CHECKING:
    from imug_tts.backbones.native.autoregressive import Autoregressive

__all__ = ["JanusGenerator", "load"]


def load(backbone: Autoregressive) -> JanusGenerator:
    """Load model and processor.

    Raises:
        ConfigurationError: the files are missing, damaged or of another model.
    """
    model = load_model(JanusForConditionalGeneration, backbone)
    processor = load_processor(JanusProcessor, backbone.folder)
    return JanusGenerator(model, processor, PrefixStore(backbone.prefix_cache_bytes))


class JanusGenerator(TokenGenerator):
    """A loaded Janus. Its vision encoder reads images; it draws them as tokens of its codebook."""

    def __init__(self, model: Any, processor: Any, store: PrefixStore) -> None:
        text = model.config.text_config
        super().__init__(
            model.model.language_model, processor.tokenizer, store, longest=text.max_position_embeddings
        )
        self._model, self._processor = model, processor

    def prompt(self, request: Request, drawing: Drawing) -> Prompt:
        mark, begin, end = (
            self._processor.image_token,
            self._processor.image_start_token,
            self._processor.image_end_token,
        )
        chat = chat_of(request.history, marks=(mark, begin, end))
        text = self._processor.apply_chat_template(chat.messages, add_generation_prompt=True)
        text = text.replace(mark, begin + mark * self._processor.num_image_tokens + end)
        if request.modality == "image":
            text += begin
        elif self._processor.use_default_system_prompt:
            text = DEFAULT_SYSTEM_PROMPT + text
        ids = tuple(self._tokenizer(text).input_ids)
        return Prompt(ids, tuple(self._keys(ids, chat.images)), tuple(chat.images))

    def _keys(self, ids: Sequence[int], images: Sequence[Image]) -> Iterator[Hashable]:
        seen, size = 0, self._processor.num_image_tokens
        for token in ids:
            if token == self._model.config.image_token_id:
                yield images[seen // size].sha256, seen % size
                seen += 1
            else:
                yield token

    def unguided(self, prompt: Prompt, drawing: Drawing) -> Prompt:
        """The prompt of the unconditional branch: padding of equal length, with the begin tokens of sequence
        and images kept.
        """
        kept = {self._tokenizer.bos_token_id, self._tokenizer.boi_token_id}
        ids = tuple(token if token in kept else self._tokenizer.pad_token_id for token in prompt.ids)
        return Prompt(ids, ids)

    def embeds(self, prompt: Prompt, start: int) -> Tensor:
        mark = self._model.config.image_token_id
        ids = torch.tensor([prompt.ids[start:]], device=input_device(self._model))
        embeds = self._embed(ids)
        place = ids == mark
        if prompt.images and bool(place.any()):
            done = prompt.ids[:start].count(mark) // self._processor.num_image_tokens
            features = torch.cat([self._features(image) for image in prompt.images[done:]])
            embeds = embeds.masked_scatter(place[..., None].to(embeds.device), features.to(embeds))
        return embeds

    def _features(self, image: Image) -> Tensor:
        """The language model's input features of an image, shape (1, tokens, width)."""
        pixels = self._processor.image_processor(images=[to_pillow(image)], return_tensors="pt")[
            "pixel_values"
        ]
        features: Tensor = self._model.model.get_image_features(
            pixels.to(input_device(self._model), self._model.dtype)
        ).pooler_output
        return features

    def text_logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._model.lm_head(hidden)
        return logits

    def canvas(self, drawing: Drawing) -> Canvas:
        return _JanusCanvas(self._model, self._processor)


class _JanusCanvas(Canvas):
    """A square of codebook tokens, row by row."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model, processor
        self.length = model.model.vision_model.config.num_image_tokens

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._model.model.generation_head(hidden)
        return logits

    def ids(self, codes: Tensor) -> Tensor:
        return codes

    def embeds(self, ids: Tensor) -> Tensor:
        embeds: Tensor = self._model.prepare_embeddings_for_image_generation(ids[:, None])[:, 0]
        return embeds

    def image(self, ids: Sequence[int]) -> Image:
        tokens = torch.tensor([list(ids)], device=input_device(self._model))
        pixels = self._model.model.vqmodel.decode(tokens)[0].float().cpu()  # (3, height, width)
        shown = self._processor.image_processor.postprocess([pixels], return_tensors="PIL.Image.Image")
        return from_pillow(shown["pixel_values"][0])
