"""Loads models and processors of transformers from a folder, with strict checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imug_tts.backbones.native.checkpoint import check_loaded, tensor_headers
from imug_tts.contracts import ConfigurationError

if TYPE_CHECKING:
    from imug_tts.backbones.native.pretrained import Pretrained

__all__ = ["load_model", "load_processor"]

_ADVICE = "download the model again"


def load_model(cls: Any, backbone: Pretrained) -> Any:
    """The model in evaluation mode, with the dtype and on the devices that the backbone's knobs select.

    Args:
        cls: a model class of transformers.
        backbone: the backbone whose folder is read.

    Raises:
        ConfigurationError: files are missing or damaged, or tensors are missing, unexpected or misshaped.
    """
    from transformers.utils import logging

    tensor_headers(backbone.weight_files())
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, info = cls.from_pretrained(
            backbone.folder,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **backbone.from_pretrained_words(),
        )
    except (OSError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the model in {backbone.folder} cannot be loaded: {error}; {_ADVICE}"
        ) from error
    check_loaded(info, backbone.folder, advice=_ADVICE)
    return model


def load_processor(cls: Any, folder: Path) -> Any:
    """The processor (tokenizer and image processor) in a folder.

    Raises:
        ConfigurationError: the processor's files are missing or damaged.
    """
    try:
        return cls.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"tokenizer and image processor in {folder} cannot be loaded: {error}; {_ADVICE}"
        ) from error
