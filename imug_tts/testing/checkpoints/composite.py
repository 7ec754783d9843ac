"""A small Flux2Klein pipeline with random weights, in the layout of black-forest-labs/FLUX.2-klein-4B."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from imug_tts.testing.checkpoints.words import byte_tokenizer

__all__ = ["write_tiny_composite"]

_PAD, _BEGIN, _END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_CHAT: Final = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
_WIDTH: Final = 16
_LAYERS: Final = 28
"""Number of text encoder layers: the pipeline reads the states after layers 9, 18 and 27."""


def write_tiny_composite(folder: Path, seed: int = 0) -> None:
    """Write the pipeline with random weights from `seed`. Existing files are replaced."""
    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    pipeline: Any = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),  # type: ignore[no-untyped-call]
        vae=_vae(),
        text_encoder=_text_encoder(len(tokenizer)),
        tokenizer=tokenizer,
        transformer=_transformer(),
    )
    pipeline.save_pretrained(folder)


def _tokenizer() -> Any:
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=byte_tokenizer((_PAD, _BEGIN, _END)), pad_token=_PAD, eos_token=_END
    )
    tokenizer.chat_template = _CHAT
    return tokenizer


def _text_encoder(vocabulary: int) -> Any:
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=_WIDTH,
        intermediate_size=_WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=_WIDTH // 2,
        max_position_embeddings=1024,
    )
    return Qwen3ForCausalLM(config)


def _transformer() -> Any:
    return Flux2Transformer2DModel(  # type: ignore[no-untyped-call]
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * _WIDTH,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )


def _vae() -> Any:
    """An autoencoder with four levels, so that 16 x 16 pixels are one token, as in the released model."""
    return AutoencoderKLFlux2(  # type: ignore[no-untyped-call]
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
        sample_size=64,
    )
