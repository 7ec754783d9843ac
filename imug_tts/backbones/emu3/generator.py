"""Emu3's prompts, image encoding and image tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import Emu3ForConditionalGeneration, Emu3Processor

from imug_tts.backbones.native.generator import Canvas, Drawing, Prompt, TokenGenerator
from imug_tts.backbones.native.history import chat_of, newest_images
from imug_tts.backbones.native.images import from_pillow, to_pillow
from imug_tts.backbones.native.loading import load_model, load_processor
from imug_tts.backbones.native.placement import input_device
from imug_tts.backbones.native.prefill import PrefixStore
from imug_tts.contracts import Request
from imug_tts.dialogue import Image

if TYPE_CHECKING:
    from imug_tts.backbones.native.autoregressive import Autoregressive

__all__ = ["Emu3Drawing", "Emu3Generator", "load"]


@dataclass(frozen=True, kw_only=True)
class Emu3Drawing(Drawing):
    """Settings of Emu3's image generation; `image_area` is in pixels."""

    image_area: int


@dataclass(frozen=True)
class _Encoded:
    """An image of the history as tokens of the language model, end-of-row tokens included."""

    height: int
    width: int
    ids: tuple[int, ...]


def load(
    backbone: Autoregressive, *, context_images: int | None, context_area: int | None, negative_prompt: str
) -> Emu3Generator:
    """Load model and processor; the arguments are knobs of the backbone.

    Raises:
        ConfigurationError: the files are missing, damaged or of another model.
    """
    model = load_model(Emu3ForConditionalGeneration, backbone)
    processor = load_processor(Emu3Processor, backbone.folder)
    if context_area is not None:
        processor.image_processor.min_pixels = processor.image_processor.max_pixels = context_area
    store = PrefixStore(backbone.prefix_cache_bytes)
    return Emu3Generator(model, processor, store, context_images, negative_prompt)


class Emu3Generator(TokenGenerator):
    """A loaded Emu3. Texts and images are tokens of one vocabulary."""

    def __init__(
        self, model: Any, processor: Any, store: PrefixStore, context_images: int | None, negative_prompt: str
    ) -> None:
        longest = model.config.text_config.max_position_embeddings
        super().__init__(model.model.text_model, processor.tokenizer, store, longest)
        self._model, self._processor = model, processor
        self._context_images, self._negative = context_images, negative_prompt
        self._encoded: Callable[[Image], _Encoded] = lru_cache(maxsize=256)(self._encode)

    def prompt(self, request: Request, drawing: Drawing) -> Prompt:
        chat = chat_of(newest_images(request.history, self._context_images), marks=self._marks())
        images = [self._encoded(image) for image in chat.images]
        first, *others = self._rendered(chat.messages).split(self._processor.image_token)
        pairs = zip(images, others, strict=True)
        text = first + "".join(self._image_text(image) + other for image, other in pairs)
        if request.modality == "image":
            text += self._head(drawing)
        return self._tokens(text, images)

    def unguided(self, prompt: Prompt, drawing: Drawing) -> Prompt:
        """The prompt of the unconditional branch: the negative prompt without the history."""
        return self._tokens(f"{self._negative}{self._head(drawing)}", ())

    def _tokens(self, text: str, images: Sequence[_Encoded]) -> Prompt:
        """The tokens of a text. Image marks are replaced by the tokens of the images, in order."""
        codes = chain.from_iterable(image.ids for image in images)
        mark = self._processor.image_token_id
        read = self._tokenizer(f"{self._processor.bos_token}{text}").input_ids
        ids = tuple(next(codes) if token == mark else token for token in read)
        return Prompt(ids, ids)

    def _marks(self) -> tuple[str, ...]:
        of = self._processor
        return (of.image_token, of.image_start_token, of.image_end_token, of.fake_token_around_image)

    def _rendered(self, messages: Sequence[dict[str, Any]]) -> str:
        """The conversation in the checkpoint's chat template; without a template, its parts in order."""
        if self._processor.chat_template:
            rendered: str = self._processor.apply_chat_template(messages, add_generation_prompt=True)
            return rendered
        parts = chain.from_iterable(message["content"] for message in messages)
        return "\n".join(part.get("text", self._processor.image_token) for part in parts)

    def _image_text(self, image: _Encoded) -> str:
        of = self._processor
        marks = of.image_token * len(image.ids)
        return f"{self._begin(image.height, image.width)}{marks}{of.eof_token}{of.image_end_token}"

    def _head(self, drawing: Drawing) -> str:
        return self._begin(*self._size(drawing))

    def _begin(self, height: int, width: int) -> str:
        of = self._processor
        return f"{of.image_start_token}{height}*{width}{of.fake_token_around_image}"

    def _size(self, drawing: Drawing) -> tuple[int, int]:
        """Rows and columns of tokens of a drawn image."""
        assert isinstance(drawing, Emu3Drawing)
        of = self._processor
        height, width = of.calculate_generate_size("1:1", drawing.image_area, of.downsample_ratio)
        return height, width

    def _encode(self, image: Image) -> _Encoded:
        """Encode an image alone: in a batch with a larger image it would be padded, which changes its
        tokens.
        """
        read = self._processor.image_processor(images=[to_pillow(image)], return_tensors="pt")
        [(height, width)] = read["image_sizes"].tolist()
        ids = self._model.model.get_image_tokens(
            read["pixel_values"].to(input_device(self._model), self._model.dtype), read["image_sizes"]
        )
        ratio = self._processor.downsample_ratio
        return _Encoded(height // ratio, width // ratio, tuple(ids.tolist()))

    def embeds(self, prompt: Prompt, start: int) -> Tensor:
        return self._embed(torch.tensor([prompt.ids[start:]]))

    def text_logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._model.lm_head(hidden)
        return logits

    def canvas(self, drawing: Drawing) -> Canvas:
        return _Emu3Canvas(self._model, self._processor, *self._size(drawing))


class _Emu3Canvas(Canvas):
    """Rows of image tokens, each followed by an end-of-row token, which the model does not sample."""

    def __init__(self, model: Any, processor: Any, height: int, width: int) -> None:
        self._model, self._processor = model, processor
        self._height, self._width = height, width
        self.length = height * (width + 1) - 1  # the last row needs no end
        by_code = model.vocabulary_mapping.img2bpe
        self._visual = torch.tensor([by_code[code] for code in sorted(by_code)])
        self._end_of_row = model.vocabulary_mapping.eol_token_id

    def forced(self, step: int) -> int | None:
        return self._end_of_row if step % (self._width + 1) == self._width else None

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._model.lm_head(hidden)
        return logits[:, self._visual.to(logits.device)]

    def ids(self, codes: Tensor) -> Tensor:
        return self._visual.to(codes.device)[codes]

    def embeds(self, ids: Tensor) -> Tensor:
        embeds: Tensor = self._model.get_input_embeddings()(ids)
        return embeds

    def image(self, ids: Sequence[int]) -> Image:
        closing = [self._end_of_row] * 4  # the last row's end, and three tokens that decoding cuts off
        tokens = torch.tensor([[*ids, *closing]], device=input_device(self._model))
        pixels = self._model.decode_image_tokens(image_tokens=tokens, height=self._height, width=self._width)
        shown = self._processor.postprocess(list(pixels.float().cpu()), return_tensors="PIL.Image.Image")
        return from_pillow(shown["pixel_values"][0])
