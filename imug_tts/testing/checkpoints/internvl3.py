"""A small InternVL3 with random weights, in the layout of OpenGVLab/InternVL3-1B-hf."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from imug_tts.testing.checkpoints.chat_ml import (
    IM_END,
    PAD,
    chat_ml_tokenizer,
    chat_template,
    save_model,
    save_processor,
)

__all__ = ["write_tiny_internvl3"]

_PATCH: Final = 4
_IMAGE, _BEGIN, _END, _VIDEO = "<IMG_CONTEXT>", "<img>", "</img>", "<video>"


def write_tiny_internvl3(
    folder: Path,
    seed: int = 0,
    *,
    layers: int = 4,
    width: int = 32,
    heads: int = 4,
    inner: int = 64,
    grid: int = 2,
    vision: tuple[int, int] = (2, 16),
    initializer_range: float = 0.2,
) -> None:
    """Write the checkpoint: weights, configurations, processor and tokenizer; files there are replaced.

    Args:
        layers: of the language model.
        width: its hidden size, a multiple of `heads`; it has two heads of keys and values.
        inner: the width inside its feed-forward layers.
        grid: the side of an image in tokens; an image has 8 * grid pixels a side.
        vision: layers and hidden size of the vision encoder.
        initializer_range: standard deviation of the weights; 0.02 for hidden sizes of hundreds, as real ones.
    """
    tokenizer = chat_ml_tokenizer(
        start_image_token=_BEGIN, end_image_token=_END, context_image_token=_IMAGE, video_token=_VIDEO
    )
    ids = {word: tokenizer.convert_tokens_to_ids(word) for word in (_IMAGE, IM_END, PAD)}
    torch.manual_seed(seed)
    side = 2 * _PATCH * grid
    config = InternVLConfig(
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "initializer_range": initializer_range,
            "eos_token_id": ids[IM_END],
            "pad_token_id": ids[PAD],
            "tie_word_embeddings": True,
        },
        vision_config={
            "hidden_size": vision[1],
            "intermediate_size": 4 * vision[1],
            "num_hidden_layers": vision[0],
            "num_attention_heads": 2,
            "image_size": [side, side],
            "patch_size": [_PATCH, _PATCH],
            "initializer_range": initializer_range,
        },
        image_token_id=ids[_IMAGE],
        image_seq_length=grid * grid,
        tie_word_embeddings=True,
    )
    save_model(folder, InternVLForConditionalGeneration(config), ids)
    save_processor(
        folder,
        tokenizer,
        GotOcr2ImageProcessorPil(size={"height": side, "width": side}),
        {"processor_class": "InternVLProcessor", "image_seq_length": grid * grid},
        template=chat_template(f"{_IMAGE}\n"),
    )
