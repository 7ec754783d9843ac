"""The model folder: transformers Llama files, the vocabulary and the image tokenizer."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imug_tts.contracts import TrainingCost

if TYPE_CHECKING:
    import torch

    from imug_tts.backbones.pocket.generator import PocketGenerator

CHECKSUMS: Final = "checksums.json"
TRAINING: Final = "training.json"
FILES: Final = ("config.json", "image_tokenizer.safetensors", "model.safetensors", "vocabulary.json")


_RESTORE: Final = "restore it with git, or train a model with experiments/train_pocket.py"


class DamagedFolder(RuntimeError):
    """A model folder that cannot be used. The message names the file and what to do."""


def write_checksums(folder: Path) -> None:
    """Write a file with the SHA-256 of each file of the model, so that damage can be detected."""
    sums = {name: _sha256(folder / name) for name in FILES}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def folder_hash(folder: Path) -> str:
    """Return the SHA-256 of a model folder. Raises DamagedFolder if a file is missing or its checksum
    differs.
    """
    missing = [name for name in (*FILES, CHECKSUMS) if not (folder / name).is_file()]
    if missing:
        raise DamagedFolder(f"the pocket model has no {folder / missing[0]}; {_RESTORE}")
    published = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    digest = hashlib.sha256()
    for name in FILES:
        found = _sha256(folder / name)
        if found != published.get(name):
            raise DamagedFolder(
                f"{folder / name} has SHA-256 {found[:12]}..., not {str(published.get(name))[:12]}... as in "
                f"{CHECKSUMS}: it is damaged or from another model; {_RESTORE}"
            )
        digest.update(found.encode())
    return digest.hexdigest()


def write_training(folder: Path, cost: TrainingCost) -> None:
    """Write the training cost of the model into its folder. The file is not part of the model's identity."""
    temporary = folder / f".{TRAINING}"
    temporary.write_text(json.dumps(asdict(cost), indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, folder / TRAINING)


def read_training(folder: Path) -> TrainingCost | None:
    """Return the training cost in a model folder; None if there is none. Raises DamagedFolder."""
    path = folder / TRAINING
    if not path.exists():
        return None
    try:
        return TrainingCost(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise DamagedFolder(
            f"{path} has no valid training cost: {error}; run the training again, or remove the file"
        ) from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_generator(folder: Path, dtype: torch.dtype, cache_bytes: int) -> PocketGenerator:
    """Load weights and tokenizers for inference in `dtype`. Raises DamagedFolder."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from imug_tts.backbones.pocket.decoder import Decoder, Sizes
    from imug_tts.backbones.pocket.generator import PocketGenerator
    from imug_tts.backbones.pocket.vocabulary import Vocabulary

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = {**config.get("rope_parameters", {}), **config}
        sizes = Sizes(**{field.name: config[field.name] for field in fields(Sizes)})
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
        weights = load_file(folder / "model.safetensors")
        return PocketGenerator(Decoder(weights, sizes, dtype, cache_bytes), vocabulary)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DamagedFolder(
            f"the pocket model in {folder} cannot be read: {error!r}; restore its files"
        ) from error
