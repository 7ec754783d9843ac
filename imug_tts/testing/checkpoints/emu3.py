"""A small Emu3 with random weights, in the layout of BAAI/Emu3-Chat-hf."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    Emu3Config,
    Emu3ForConditionalGeneration,
    Emu3ImageProcessor,
    Emu3Processor,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

from imug_tts.testing.checkpoints.words import byte_tokenizer

__all__ = ["write_tiny_emu3"]

_PAD, _BOS, _EOS = "<|endoftext|>", "<|extra_203|>", "<|extra_204|>"
_END_OF_ROW, _END_OF_IMAGE_ROWS = "<|extra_200|>", "<|extra_201|>"
_IMAGE, _BEGIN, _END, _WRAPPER = "<image>", "<|image start|>", "<|image end|>", "<|image token|>"
_CODES: Final = 64
_CHAT: Final = (
    "{%- for message in messages -%}"
    "{{- {'user': 'USER: ', 'assistant': ' ASSISTANT: '}.get(message.role, '') -}}"
    "{%- for part in message.content -%}"
    "{{- '<image>' if part.type == 'image' else part.text -}}"
    "{{- '' if loop.last else ' ' -}}"
    "{%- endfor -%}"
    "{{- eos_token if message.role == 'assistant' else '' -}}"
    "{%- endfor -%}"
    "{{- ' ASSISTANT:' if add_generation_prompt -}}"
)


def write_tiny_emu3(folder: Path, seed: int = 0, *, width: int = 64, layers: int = 2, side: int = 32) -> None:
    """Write the checkpoint: weights, configurations, processor and tokenizer.

    Args:
        folder: where; files of the same names are replaced.
        seed: of the random weights.
        width: hidden size of the language model, a multiple of 32.
        layers: its layers.
        side: to which side images of the history are resized, in pixels; a multiple of 8.
    """
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    model = Emu3ForConditionalGeneration(_config(tokenizer, width, layers))
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    image_processor = Emu3ImageProcessor(min_pixels=side * side, max_pixels=side * side)
    processor: Any = Emu3Processor
    processor(image_processor, tokenizer, chat_template=_CHAT).save_pretrained(folder)


def _tokenizer() -> Any:
    visual = [f"<|visual token {code:06d}|>" for code in range(_CODES)]
    marks = (_IMAGE, _BEGIN, _END, _WRAPPER, _END_OF_ROW, _END_OF_IMAGE_ROWS)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=byte_tokenizer([_PAD, _BOS, _EOS, *marks, *visual]),
        bos_token=_BOS,
        eos_token=_EOS,
        pad_token=_PAD,
        extra_special_tokens={
            "image_token": _IMAGE,
            "boi_token": _BEGIN,
            "eoi_token": _END,
            "image_wrapper_token": _WRAPPER,
            "eof_token": _END_OF_IMAGE_ROWS,
        },
    )


def _config(tokenizer: Any, width: int, layers: int) -> Emu3Config:
    return Emu3Config(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // 32,
            "num_key_value_heads": 1,
            "max_position_embeddings": 9216,
            "initializer_range": 0.2,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vq_config={
            "codebook_size": _CODES,
            "base_channels": 32,
            "channel_multiplier": [1, 1, 1, 1],
            "num_res_blocks": 1,
            "attn_resolutions": [],
            "hidden_size": 32,
            "temporal_downsample_factor": 4,
        },
        vocabulary_map=tokenizer.get_vocab(),
    )
