"""A small Qwen2.5-VL with random weights, in the layout of Qwen/Qwen2.5-VL-3B-Instruct."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from imug_tts.testing.checkpoints.chat_ml import (
    IM_END,
    PAD,
    chat_ml_tokenizer,
    chat_template,
    save_model,
    save_processor,
)

__all__ = ["write_tiny_qwen2_5_vl"]

_PATCH: Final = 4
_IMAGE, _VIDEO, _BEGIN, _END = "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"


def write_tiny_qwen2_5_vl(
    folder: Path, seed: int = 0, *, layers: int = 4, width: int = 32, heads: int = 4
) -> None:
    """Write the checkpoint: weights, configurations, processor and tokenizer; files there are replaced.

    A token of an image covers 8 x 8 pixels.

    Args:
        layers: of the language model.
        width: its hidden size, `heads` times a multiple of 8; it has two heads of keys and values.
    """
    tokenizer = chat_ml_tokenizer(
        image_token=_IMAGE, video_token=_VIDEO, vision_start_token=_BEGIN, vision_end_token=_END
    )
    ids = {word: tokenizer.convert_tokens_to_ids(word) for word in tokenizer.all_special_tokens}
    torch.manual_seed(seed)
    half = width // heads // 2
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "initializer_range": 0.2,
            "bos_token_id": ids[PAD],
            "eos_token_id": ids[IM_END],
            "pad_token_id": ids[PAD],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [half // 2, half // 4, half - half // 2 - half // 4],
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": _PATCH,
            "window_size": 4 * _PATCH,
            "out_hidden_size": width,
            "fullatt_block_indexes": [1],
            "initializer_range": 0.2,
        },
        image_token_id=ids[_IMAGE],
        video_token_id=ids[_VIDEO],
        vision_start_token_id=ids[_BEGIN],
        vision_end_token_id=ids[_END],
    )
    save_model(folder, Qwen2_5_VLForConditionalGeneration(config), ids)
    save_processor(
        folder,
        tokenizer,
        Qwen2VLImageProcessorPil(
            patch_size=_PATCH, size={"shortest_edge": 4 * _PATCH**2, "longest_edge": 1 << 20}
        ),
        {"processor_class": "Qwen2_5_VLProcessor"},
        template=chat_template(f"{_BEGIN}{_IMAGE}{_END}"),
    )
