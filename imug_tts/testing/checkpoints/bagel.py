"""A small BAGEL with random weights, in the layout of the released BAGEL-7B-MoT."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["write_tiny_bagel"]

_LLM: Final[Mapping[str, Any]] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
}
_VIT: Final[Mapping[str, Any]] = {
    "model_type": "siglip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 48,
    "image_size": 28,
    "patch_size": 4,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,  # the last one is not in the weights
}
_VIT_SIDE: Final = 7
_LATENT_SIDE: Final = 8
_LATENT_CHANNELS: Final = 4
_LEVELS: Final = (32, 64)
"""Channels of each level of the autoencoder; 32 is the minimum for its group norms."""
_SPECIAL_TOKENS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def write_tiny_bagel(folder: Path, seed: int = 0) -> None:
    """Write a checkpoint of about 0.5 M parameters; a seed gives the same one on every machine.

    Images have at most 32 pixels per edge and make 64 latent tokens; texts are tokenised byte by byte.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(folder)
    llm = {**_LLM, "vocab_size": len(vocabulary), "bos_token_id": 0, "eos_token_id": 2}
    (folder / "llm_config.json").write_text(json.dumps(llm, indent=2))
    (folder / "vit_config.json").write_text(json.dumps(_VIT, indent=2))
    rng = np.random.default_rng(seed)
    _save(folder / "ema.safetensors", rng, [*_decoder(len(vocabulary)), *_vit(), *_between()])
    _save(folder / "ae.safetensors", rng, list(_autoencoder()))


def _save(file: Path, rng: np.random.Generator, shapes: list[tuple[str, tuple[int, ...]]]) -> None:
    from safetensors.numpy import save_file

    save_file({name: _tensor(rng, name, shape) for name, shape in shapes}, str(file))


def _tensor(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Random weights scaled so that activations stay near 1; position grids get their fixed values."""
    if name.endswith("pos_embed.pos_embed"):
        return _grid_features(int(shape[0] ** 0.5), shape[1])
    drawn = rng.standard_normal(shape)
    if len(shape) == 1:
        values = (name.endswith("weight")) + 0.1 * drawn  # norms scale near 1; biases are near 0
    elif "embed_tokens" in name or "lm_head" in name:
        values = 0.5 * drawn
    else:
        values = drawn / np.prod(shape[1:]) ** 0.5
    return values.astype(np.float32)


def _grid_features(side: int, width: int) -> npt.NDArray[np.float32]:
    rows, columns = np.divmod(np.arange(side * side, dtype=np.float64), side)
    rates = 10000.0 ** -(np.arange(width // 4) / (width / 4))
    angles = [columns[:, None] * rates, rows[:, None] * rates]
    waves = [function(angle) for angle in angles for function in (np.sin, np.cos)]
    return np.concatenate(waves, axis=1).astype(np.float32)


def _linear(name: str, inner: int, outer: int, *, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (outer, inner)
    if bias:
        yield f"{name}.bias", (outer,)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _decoder(vocabulary: int) -> Shapes:
    width = _LLM["hidden_size"]
    yield "language_model.lm_head.weight", (vocabulary, width)
    yield "language_model.model.embed_tokens.weight", (vocabulary, width)
    for expert in ("", "_moe_gen"):
        yield f"language_model.model.norm{expert}.weight", (width,)
        for layer in range(_LLM["num_hidden_layers"]):
            yield from _expert(f"language_model.model.layers.{layer}", expert)


def _expert(layer: str, expert: str) -> Shapes:
    width, inner = _LLM["hidden_size"], _LLM["intermediate_size"]
    head = width // _LLM["num_attention_heads"]
    shared = head * _LLM["num_key_value_heads"]
    for name, outer in (("q", width), ("k", shared), ("v", shared)):
        yield from _linear(f"{layer}.self_attn.{name}_proj{expert}", width, outer)
    yield from _linear(f"{layer}.self_attn.o_proj{expert}", width, width, bias=False)
    for name in ("q", "k"):
        yield f"{layer}.self_attn.{name}_norm{expert}.weight", (head,)
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield f"{layer}.{name}{expert}.weight", (width,)
    for name in ("gate", "up"):
        yield from _linear(f"{layer}.mlp{expert}.{name}_proj", width, inner, bias=False)
    yield from _linear(f"{layer}.mlp{expert}.down_proj", inner, width, bias=False)


def _vit() -> Shapes:
    width, inner = _VIT["hidden_size"], _VIT["intermediate_size"]
    model = "vit_model.vision_model"
    yield from _linear(f"{model}.embeddings.patch_embedding", 3 * _VIT["patch_size"] ** 2, width)
    yield f"{model}.embeddings.position_embedding.weight", (_VIT_SIDE**2, width)
    yield from _norm(f"{model}.post_layernorm", width)
    for number in range(_VIT["num_hidden_layers"] - 1):
        layer = f"{model}.encoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(f"{layer}.self_attn.{name}", width, width)
        yield from _norm(f"{layer}.layer_norm1", width)
        yield from _norm(f"{layer}.layer_norm2", width)
        yield from _linear(f"{layer}.mlp.fc1", width, inner)
        yield from _linear(f"{layer}.mlp.fc2", inner, width)


def _between() -> Shapes:
    """The names and shapes of the tensors that connect decoder, ViT and latents."""
    width, latent = _LLM["hidden_size"], _LATENT_CHANNELS * 4
    yield from _linear("connector.fc1", _VIT["hidden_size"], width)
    yield from _linear("connector.fc2", width, width)
    yield from _linear("time_embedder.mlp.0", 256, width)
    yield from _linear("time_embedder.mlp.2", width, width)
    yield from _linear("vae2llm", latent, width)
    yield from _linear("llm2vae", width, latent)
    yield "vit_pos_embed.pos_embed", (_VIT_SIDE**2, width)
    yield "latent_pos_embed.pos_embed", (_LATENT_SIDE**2, width)


def _autoencoder() -> Shapes:
    yield from _conv("encoder.conv_in", 3, _LEVELS[0])
    yield from _conv("decoder.conv_in", _LATENT_CHANNELS, _LEVELS[-1])
    yield from _coder("encoder", list(range(len(_LEVELS))), 1, ("down", "downsample"))
    yield from _coder("decoder", list(range(len(_LEVELS)))[::-1], 2, ("up", "upsample"))
    yield from _norm("encoder.norm_out", _LEVELS[-1])
    yield from _norm("decoder.norm_out", _LEVELS[0])
    yield from _conv("encoder.conv_out", _LEVELS[-1], 2 * _LATENT_CHANNELS)
    yield from _conv("decoder.conv_out", _LEVELS[0], 3)


def _coder(coder: str, levels: list[int], blocks: int, names: tuple[str, str]) -> Shapes:
    before = _LEVELS[levels[0]]
    for level in levels:
        for block in range(blocks):
            yield from _residual(f"{coder}.{names[0]}.{level}.block.{block}", before, _LEVELS[level])
            before = _LEVELS[level]
        if level != levels[-1]:
            yield from _conv(f"{coder}.{names[0]}.{level}.{names[1]}.conv", before, before)
    middle = _LEVELS[-1]
    for block in (1, 2):
        yield from _residual(f"{coder}.mid.block_{block}", middle, middle)
    yield from _norm(f"{coder}.mid.attn_1.norm", middle)
    for name in ("q", "k", "v", "proj_out"):
        yield from _conv(f"{coder}.mid.attn_1.{name}", middle, middle, kernel=1)


def _residual(block: str, inner: int, outer: int) -> Shapes:
    yield from _norm(f"{block}.norm1", inner)
    yield from _conv(f"{block}.conv1", inner, outer)
    yield from _norm(f"{block}.norm2", outer)
    yield from _conv(f"{block}.conv2", outer, outer)
    if inner != outer:
        yield from _conv(f"{block}.nin_shortcut", inner, outer, kernel=1)


def _conv(name: str, inner: int, outer: int, kernel: int = 3) -> Shapes:
    yield f"{name}.weight", (outer, inner, kernel, kernel)
    yield f"{name}.bias", (outer,)


def _write_tokenizer(folder: Path) -> dict[str, int]:
    """Write a Qwen2 tokenizer with byte tokens and BAGEL's special tokens; returns its vocabulary."""
    from imug_tts.testing.checkpoints.words import byte_tokenizer

    tokenizer = byte_tokenizer(_SPECIAL_TOKENS)
    tokenizer.save(str(folder / "tokenizer.json"))
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = "".join(f"{first} {second}\n" for first, second in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}")
    added = {
        str(vocabulary[token]): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token in _SPECIAL_TOKENS
    }
    configuration = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": added,
        "additional_special_tokens": list(_SPECIAL_TOKENS[1:]),
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": 131072,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration, indent=2))
    return vocabulary
