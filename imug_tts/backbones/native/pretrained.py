"""The base class of backbones that transformers loads from a folder in its own layout. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from imug_tts.backbones.native.checkpoint import ITEM_BYTES, folder_identity, read_json
from imug_tts.backbones.native.placement import Native
from imug_tts.contracts import ConfigurationError, Request
from imug_tts.knobs import component

__all__ = ["Pretrained", "alike_requests"]


@component
class Pretrained(Native):
    """A checkpoint in transformers' layout: its files, its model type and its identity."""

    model_types: ClassVar[tuple[str, ...]] = ()
    """The allowed values of model_type in the checkpoint's config.json; empty allows any."""
    version: ClassVar[str]
    """Version of the adapter; changes if the same weights and seeds give another answer."""
    adapter: ClassVar[str] = ""
    """The first part of the identity; empty uses the model's type instead."""

    @cached_property
    def identity(self) -> str:
        """Adapter, version and hash of the checkpoint's files.

        Raises:
            ConfigurationError: a file is missing or of another model.
        """
        kind = str(self.configuration.get("model_type"))
        name = f"{self.adapter}:{self.version}:{kind}" if self.adapter else f"{kind}:{self.version}"
        return f"{name}:{folder_identity(self.folder, self.weight_files())[:16]}"

    def weight_files(self) -> list[Path]:
        """The checkpoint's safetensors files.

        Raises:
            ConfigurationError: the folder has none.
        """
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            raise ConfigurationError(
                f"{self.folder} has no *.safetensors file; give the folder of the downloaded model"
            )
        return files

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The content of config.json.

        Raises:
            ConfigurationError: the file is missing, damaged or of another model.
        """
        config = read_json(self.folder / "config.json")
        if self.model_types and config.get("model_type") not in self.model_types:
            names = " or ".join(self.model_types)
            raise ConfigurationError(
                f"{self.folder / 'config.json'} says model_type {config.get('model_type')!r}, not {names}; "
                f"give the folder of a model of type {names} in transformers' layout"
            )
        return config

    def bytes_per_token(self) -> int:
        """The bytes of the cached keys and values of one token.

        Raises:
            ConfigurationError: as `configuration`.
        """
        from transformers import AutoConfig

        _ = self.configuration  # says in our words what is wrong with the folder
        config = AutoConfig.from_pretrained(self.folder, local_files_only=True)
        text = config.get_text_config()
        heads = text.num_attention_heads
        width = getattr(text, "head_dim", None) or text.hidden_size // heads
        stated = str(config.dtype or "bfloat16").removeprefix("torch.")
        item = ITEM_BYTES.get(stated if self.dtype == "auto" else self.dtype, 2)
        return int(2 * text.num_hidden_layers * (text.num_key_value_heads or heads) * width * item)


def alike_requests(requests: Sequence[Request]) -> Iterator[list[int]]:
    """The requests' indices, grouped by equal modality, sampling and form."""
    groups: dict[object, list[int]] = {}
    for number, request in enumerate(requests):
        groups.setdefault((request.modality, request.sampling, request.form), []).append(number)
    yield from groups.values()
