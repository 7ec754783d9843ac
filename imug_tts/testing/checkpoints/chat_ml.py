"""What the small checkpoints of the Qwen family share: a tokenizer and the ChatML template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from transformers import GenerationConfig, PreTrainedTokenizerFast

from imug_tts.testing.checkpoints.words import byte_tokenizer

__all__ = ["IM_END", "PAD", "chat_ml_tokenizer", "chat_template", "save_model", "save_processor"]

IM_END: Final = "<|im_end|>"
PAD: Final = "<|endoftext|>"


def chat_ml_tokenizer(**special: str) -> Any:
    """A byte-level tokenizer whose words are those of ChatML and `special`: {attribute: word}."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=byte_tokenizer((PAD, "<|im_start|>", IM_END, *special.values())),
        eos_token=IM_END,
        pad_token=PAD,
        extra_special_tokens=special,
    )


def chat_template(image: str) -> str:
    """The template of ChatML; `image` stands for an image in the content of a message."""
    return (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n"
        "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
        "{{ " + repr(image) + " if part.type == 'image' else part.text }}{% endfor %}{% endif %}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def save_model(folder: Path, model: Any, ids: Mapping[str, int]) -> None:
    """Write a model that ends its texts as ChatML does; `ids` numbers the tokenizer's words."""
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=ids[IM_END], pad_token_id=ids[PAD]
    )
    model.save_pretrained(folder)


def save_processor(
    folder: Path, tokenizer: Any, images: Any, processor: Mapping[str, object], *, template: str
) -> None:
    """Write the files of a processor without making one, which would need torchvision for its videos."""
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    images.save_pretrained(folder)
    text = json.dumps(processor, indent=2)
    (folder / "processor_config.json").write_text(f"{text}\n", encoding="utf-8")
