"""Export a checkpoint as a model folder for `LlamaForCausalLM.from_pretrained` and the pocket backbone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from experiments.pocket_training.model import Shape
from experiments.pocket_training.trainer import Trainer, saved_config
from imug_tts.backbones.pocket.folder import write_checksums, write_training
from imug_tts.backbones.pocket.vocabulary import BOS, PAD, Vocabulary


def llama_config(shape: Shape, vocabulary: Vocabulary) -> dict[str, object]:
    """Return the content of config.json, for the unchanged Llama class of transformers."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": vocabulary.size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_attention_heads,
        "max_position_embeddings": shape.max_position_embeddings,
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_theta": shape.rope_theta,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": BOS,
        "pad_token_id": PAD,
        "eos_token_id": None,
    }


def export(run: Path, folder: Path) -> None:
    """Write the latest checkpoint of `run` as a model folder, with its training cost.

    Raises:
        ValueError: the run has no checkpoint.
    """
    trainer = Trainer(saved_config(run), rank=0)
    write_folder(
        folder, trainer.model.to_llama(), trainer.language.vocabulary, run / "image_tokenizer.safetensors"
    )
    write_training(folder, trainer.cost())


def write_folder(
    folder: Path, weights: Mapping[str, Tensor], vocabulary: Vocabulary, tokenizer: Path
) -> None:
    """Write a model folder. Each weight and configuration file is written under another name and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {
        name: folder / f".{name}" for name in ("model.safetensors", "config.json", "vocabulary.json")
    }
    save_file(dict(weights), temporary["model.safetensors"], metadata={"format": "pt"})
    config = llama_config(Shape(), vocabulary)
    temporary["config.json"].write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    vocabulary.save(temporary["vocabulary.json"])
    for name, path in temporary.items():
        path.chmod(0o644)
        os.replace(path, folder / name)
    shutil.copyfile(tokenizer, folder / "image_tokenizer.safetensors")
    write_checksums(folder)


if __name__ == "__main__":
    import sys

    export(Path(sys.argv[1]), Path(sys.argv[2]))
