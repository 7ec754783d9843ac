"""The folder of a released BAGEL: its files, the sizes that they state, and its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imug_tts.backbones.native.checkpoint import read_json
from imug_tts.contracts import ConfigurationError

if TYPE_CHECKING:
    from imug_tts.backbones.bagel.model import Shape, Specials

__all__ = ["AUTOENCODER", "WEIGHTS", "llm_config", "shape_of", "specials_of", "tokenizer_of"]

WEIGHTS: Final = "ema.safetensors"
AUTOENCODER: Final = "ae.safetensors"
LLM_CONFIG: Final = "llm_config.json"
VIT_CONFIG: Final = "vit_config.json"
_LATENT_PATCH: Final = 2
_RELEASED_SIDES: Final = {"latent": 64, "vit": 70}
_TOKENS: Final = {
    "text_start": "<|im_start|>",
    "text_end": "<|im_end|>",
    "image_start": "<|vision_start|>",
    "image_end": "<|vision_end|>",
}


def llm_config(folder: Path) -> dict[str, Any]:
    """The decoder's configuration, as in its file.

    Raises:
        ConfigurationError: the file is missing or damaged.
    """
    return read_json(folder / LLM_CONFIG)


def shape_of(folder: Path, tensors: Mapping[str, tuple[int, ...]]) -> Shape:
    """The sizes of the model; `tensors` are the shapes of the tensors in `ema.safetensors`.

    The released code sets three values whatever the files state: the head is not tied, queries and keys are
    normed, and the ViT's last layer is dropped.

    Raises:
        ConfigurationError: a file or a tensor that determines a size is missing.
    """
    from transformers import Qwen2Config, SiglipVisionConfig

    from imug_tts.backbones.bagel.model import Shape

    vit = read_json(folder / VIT_CONFIG)
    try:
        vit["num_hidden_layers"] -= 1
        return Shape(
            llm=Qwen2Config(**llm_config(folder)),
            vit=SiglipVisionConfig(**vit),
            patch_size=vit["patch_size"],
            latent_channels=tensors["vae2llm.weight"][1] // _LATENT_PATCH**2,
            latent_side=_side(tensors, "latent"),
            vit_side=_side(tensors, "vit"),
            vit_positions=tensors["vit_model.vision_model.embeddings.position_embedding.weight"][0],
            time_frequencies=tensors["time_embedder.mlp.0.weight"][1],
            stores_grids="latent_pos_embed.pos_embed" in tensors,
        )
    except KeyError as error:
        raise ConfigurationError(
            f"{folder / WEIGHTS} or {VIT_CONFIG} has no {error.args[0]}; they must be those of BAGEL-7B-MoT"
        ) from error


def _side(tensors: Mapping[str, tuple[int, ...]], grid: str) -> int:
    """The side of a position grid in cells; that of the released model if the file lacks the grid."""
    name = f"{grid}_pos_embed.pos_embed"
    return round(tensors[name][0] ** 0.5) if name in tensors else _RELEASED_SIDES[grid]


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer in the folder.

    Raises:
        ConfigurationError: its files are missing or damaged.
    """
    from transformers import Qwen2Tokenizer

    try:
        return Qwen2Tokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"the tokenizer of {folder} cannot be read ({error}); it needs tokenizer.json and "
            "tokenizer_config.json, or vocab.json and merges.txt"
        ) from error


def specials_of(folder: Path, tokenizer: Any) -> Specials:
    """The ids of BAGEL's four special tokens.

    Raises:
        ConfigurationError: the tokenizer lacks one of them.
    """
    from imug_tts.backbones.bagel.model import Specials

    known = tokenizer.get_vocab()
    for token in _TOKENS.values():
        if token not in known:
            raise ConfigurationError(f"the tokenizer of {folder} has no {token}; it must be that of BAGEL")
    return Specials(**{name: known[token] for name, token in _TOKENS.items()})
