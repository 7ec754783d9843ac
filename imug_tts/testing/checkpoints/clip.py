"""A small CLIP with random weights, in the layout of openai/clip-vit: a reward model for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
)

from imug_tts.testing.checkpoints.words import byte_tokenizer

__all__ = ["write_tiny_clip"]

_START, _END = "<|startoftext|>", "<|endoftext|>"
_SIDE: Final = 32
_LENGTH: Final = 77


def write_tiny_clip(folder: Path, seed: int = 0) -> None:
    """Write the checkpoint: weights, configurations, processor and tokenizer. Existing files are replaced."""
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    CLIPModel(_config(tokenizer)).save_pretrained(folder)
    side = {"height": _SIDE, "width": _SIDE}
    images = CLIPImageProcessorPil(size=side, crop_size=side)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)  # type: ignore[no-untyped-call]


def _tokenizer() -> Any:
    words = byte_tokenizer((_START, _END))
    ends = [(_START, 0), (_END, 1)]
    words.post_processor = TemplateProcessing(single=f"{_START} $A {_END}", special_tokens=ends)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words,
        bos_token=_START,
        eos_token=_END,
        pad_token=_END,
        model_max_length=_LENGTH,
    )


def _config(tokenizer: Any) -> CLIPConfig:
    return CLIPConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": _LENGTH,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "initializer_range": 0.2,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": _SIDE,
            "patch_size": 8,
            "initializer_range": 0.2,
        },
        projection_dim=16,
    )
