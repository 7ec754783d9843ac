"""Encode a chat record as tensors, with the tokenizer and the image processor of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor

from imug_tts.contracts import ConfigurationError
from imug_tts.training.data import IMAGE, Record

__all__ = ["FAMILIES", "Encoder", "Sample"]

FAMILIES: Final[Mapping[str, str]] = {"internvl": "InternVL3", "qwen2_5_vl": "Qwen2.5-VL"}
"""The model types of transformers that can be distilled, with their usual names."""


@dataclass(frozen=True)
class Sample:
    """One record as tensors, a batch of one."""

    inputs: Mapping[str, Tensor]
    """Keyword arguments of the model's forward pass; `input_ids` is (1, tokens)."""
    is_image: Tensor
    """(tokens), true where a token belongs to an image."""
    places: Tensor
    """(labelled tokens): the position of the logits that predict each labelled token, one before the
    token.
    """
    answers: Tensor
    """(labelled tokens): the ids of the labelled tokens."""

    def to(self, device: torch.device) -> Sample:
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        rest = (tensor.to(device) for tensor in (self.is_image, self.places, self.answers))
        return Sample(inputs, *rest)


class Encoder:
    """Tokenizes records and prepares their images. Labels are the tokens of answers and their end tokens."""

    def __init__(self, folder: Path, config: Any, image_px: int | None, label_template: bool = False) -> None:
        """
        Args:
            folder: the model's folder; its tokenizer and image processor are loaded.
            config: the model's configuration.
            image_px: side in pixels of the square to which images are resized; None for their own size.
            label_template: also label the tokens that the chat template writes around an answer.

        Raises:
            ConfigurationError: the folder has no tokenizer, image processor or chat template that can be
                used.
        """
        from transformers import AutoImageProcessor, AutoTokenizer

        self._folder = folder
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            load: Any = AutoImageProcessor.from_pretrained
            self._images: Any = load(
                folder,
                backend="pil",  # the same pixels with and without torchvision
                local_files_only=True,
            )
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{folder} has no tokenizer or image processor that can be loaded: {error}"
            ) from error
        if not self.tokenizer.chat_template:
            raise ConfigurationError(
                f"{folder} has no chat template; copy chat_template.jinja of the model there"
            )
        self._config = config
        self._image_px = image_px
        self._label_template = label_template
        self.image_token = str(self.tokenizer.convert_ids_to_tokens(config.image_token_id))

    def encode(self, record: Record) -> Sample:
        """Encode a record.

        Raises:
            ConfigurationError: an image cannot be read, or the chat template leaves out images.
        """
        pixels = self._pixels(record.images)
        pieces = self._pieces(record)
        counts = iter(self._token_counts(pixels, len(record.images)))
        ids, labelled = [], []
        for text, is_answer in pieces:
            own = self.tokenizer(self._expanded(text, counts), add_special_tokens=False)["input_ids"]
            ids += own
            labelled += self._labelled(own) if is_answer else [False] * len(own)
        if next(counts, None) is not None:
            raise ConfigurationError(f"the chat template of {self._folder} leaves out images of a record")
        return self._sample(torch.tensor(ids), torch.tensor(labelled), pixels)

    def _sample(self, ids: Tensor, labelled: Tensor, pixels: dict[str, Tensor]) -> Sample:
        is_image = ids == self._config.image_token_id
        inputs = {"input_ids": ids[None], **pixels}
        if "image_grid_thw" in pixels:
            inputs["mm_token_type_ids"] = is_image.long()[None]
        places = labelled.nonzero()[:, 0]
        return Sample(inputs, is_image, places - 1, ids[places])

    def _pixels(self, paths: Sequence[str]) -> dict[str, Tensor]:
        """Return the image processor's tensors for the images, with one tile per image, as in Drive-KD."""
        if not paths:
            return {}
        images = [_opened(path, self._image_px) for path in paths]
        tiles = {"crop_to_patches": False} if self._config.model_type == "internvl" else {}
        made = self._images(images, return_tensors="pt", **tiles)
        return {name: made[name] for name in ("pixel_values", "image_grid_thw") if name in made}

    def _token_counts(self, pixels: Mapping[str, Tensor], num_images: int) -> list[int]:
        """Return the number of tokens of each image."""
        if "image_grid_thw" in pixels:
            patches: list[int] = pixels["image_grid_thw"].prod(dim=1).tolist()
            return [count // self._images.merge_size**2 for count in patches]
        return [self._config.image_seq_length] * num_images

    def _pieces(self, record: Record) -> list[tuple[str, bool]]:
        """Return the conversation as pieces of text, each with whether the assistant writes it."""
        messages = [{"role": message.role, "content": _parts(message.content)} for message in record.messages]
        pieces, done = [], ""
        for place, message in enumerate(record.messages):
            if message.role == "assistant":
                asked = self._templated(messages[:place], add_generation_prompt=not self._label_template)
                answered = self._templated(messages[: place + 1])
                if not (asked.startswith(done) and answered.startswith(asked)):
                    raise ConfigurationError(
                        f"the chat template of {self._folder} changes earlier turns when a turn is added, so "
                        "the answers' tokens cannot be told from it; use records of one question"
                    )
                pieces += [(asked[len(done) :], False), (answered[len(asked) :], True)]
                done = answered
        return pieces

    def _templated(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = False) -> str:
        text: str = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text

    def _expanded(self, text: str, counts: Any) -> str:
        """Return the text with each image token repeated once for each token of its image."""
        first, *rest = text.split(self.image_token)
        return first + "".join(self._image_words(next(counts)) + part for part in rest)

    def _image_words(self, count: int) -> str:
        words = self.image_token * count
        if self._config.model_type == "internvl":  # its chat template does not write the start and end tokens
            return f"{self.tokenizer.start_image_token}{words}{self.tokenizer.end_image_token}"
        return words

    def _labelled(self, ids: Sequence[int]) -> list[bool]:
        """Return which tokens of an answer are labels: all up to and including its last end token."""
        ends = [place for place, token in enumerate(ids) if token == self.tokenizer.eos_token_id]
        end = len(ids) if self._label_template or not ends else ends[-1] + 1
        return [place < end for place in range(len(ids))]


def _parts(content: str) -> list[dict[str, str]]:
    """Return the content as the list of image and text parts that chat templates take."""
    parts: list[dict[str, str]] = []
    for place, text in enumerate(content.split(IMAGE)):
        parts += [{"type": "image"}] if place else []
        parts += [{"type": "text", "text": text}] if text else []
    return parts


def _opened(path: str, side: int | None) -> Image.Image:
    try:
        with Image.open(path) as image:
            loaded = image.convert("RGB")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return loaded if side is None else loaded.resize((side, side), Image.Resampling.BICUBIC)
