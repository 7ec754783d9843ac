"""A small Janus with random weights, in the layout of deepseek-community/Janus-Pro-1B."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    GenerationConfig,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from imug_tts.testing.checkpoints.words import byte_tokenizer

__all__ = ["write_tiny_janus"]

_BOS = "<\uff5cbegin\u2581of\u2581sentence\uff5c>"
_EOS = "<\uff5cend\u2581of\u2581sentence\uff5c>"
_PAD = "<\uff5c\u2581pad\u2581\uff5c>"
_IMAGE, _BEGIN, _END = "<image_placeholder>", "<begin_of_image>", "<end_of_image>"
_SPECIAL: Final = (_BOS, _EOS, _PAD, _IMAGE, _BEGIN, _END, "<|User|>", "<|Assistant|>")
_CHAT: Final = (
    "{%- for message in messages -%}"
    "{%- if message.role == 'system' -%}{{ 'System: ' }}"
    "{%- else -%}{{ '<|' + message.role.capitalize() + '|>: ' }}{%- endif -%}"
    "{%- for part in message.content -%}"
    "{{ '<image_placeholder>' if part.type == 'image' else part.text }}"
    "{{ '\n' if not loop.last else '' }}"
    "{%- endfor -%}"
    "{{ eos_token if message.role == 'assistant' else '\n\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|Assistant|>:' }}{%- endif -%}"
)


def write_tiny_janus(folder: Path, seed: int = 0, *, width: int = 64, layers: int = 2, grid: int = 4) -> None:
    """Write the checkpoint: weights, configurations, processor and tokenizer.

    Args:
        folder: where; files of the same names are replaced.
        seed: of the random weights.
        width: hidden size of the language model, a multiple of 32.
        layers: its layers.
        grid: the side of an image in tokens; an image has 4 * grid pixels a side.
    """
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    model = JanusForConditionalGeneration(_config(tokenizer, width, layers, grid))
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    size = 4 * grid
    JanusProcessor(
        image_processor=JanusImageProcessorPil(size={"height": size, "width": size}, min_size=4),
        tokenizer=tokenizer,
        chat_template=_CHAT,
        use_default_system_prompt=True,
        num_image_tokens=grid * grid,
    ).save_pretrained(folder)


def _tokenizer() -> Any:
    words = byte_tokenizer(_SPECIAL)
    words.post_processor = TemplateProcessing(single=f"{_BOS} $A", special_tokens=[(_BOS, 0)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words,
        bos_token=_BOS,
        eos_token=_EOS,
        pad_token=_PAD,
        extra_special_tokens={"image_token": _IMAGE, "boi_token": _BEGIN, "eoi_token": _END},
    )


def _config(tokenizer: Any, width: int, layers: int, grid: int) -> JanusConfig:
    return JanusConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // 32,
            "max_position_embeddings": 16384,
            "initializer_range": 0.2,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 4 * grid,
            "patch_size": 4,
            "projection_dim": width,
            "num_image_tokens": grid * grid,
            "initializer_range": 0.2,
        },
        vq_config={
            "embed_dim": 8,
            "num_embeddings": 64,
            "latent_channels": 32,
            "base_channels": 32,
            "channel_multiplier": [1, 1, 1],
            "num_res_blocks": 1,
            "projection_dim": width,
            "image_token_embed_dim": width,
            "initializer_range": 0.2,
        },
        image_token_id=tokenizer.image_token_id,
        tie_word_embeddings=False,
    )
