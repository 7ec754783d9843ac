"""A small LLaVA with random weights, in the layout of llava-hf: a vision-language model for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from imug_tts.testing.checkpoints.words import byte_tokenizer

__all__ = ["write_tiny_vlm"]

_SPECIAL: Final = ("<s>", "</s>", "<pad>", "<image>")
_CHAT: Final = (
    "{% for message in messages %}{{ message.role.upper() }}: "
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_SIDE: Final = 16
_PATCH: Final = 4


def write_tiny_vlm(folder: Path, seed: int = 0) -> None:
    """Write the checkpoint: weights, configurations, processor and tokenizer. Existing files are replaced."""
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(_config(tokenizer))
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
    )
    model.save_pretrained(folder)
    LlavaProcessor(  # type: ignore[no-untyped-call]
        image_processor=CLIPImageProcessorPil(
            size={"height": _SIDE, "width": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE}
        ),
        tokenizer=tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        chat_template=_CHAT,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)


def _tokenizer() -> Any:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=byte_tokenizer(_SPECIAL),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )


def _config(tokenizer: Any) -> LlavaConfig:
    return LlavaConfig(
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=8192,
            initializer_range=0.2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=_SIDE,
            patch_size=_PATCH,
            initializer_range=0.2,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        image_seq_length=(_SIDE // _PATCH) ** 2,
    )
