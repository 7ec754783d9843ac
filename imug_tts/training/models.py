"""Load student and teachers with transformers, and check before training that they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from imug_tts.backbones.native.checkpoint import check_loaded, read_json, tensor_headers
from imug_tts.contracts import ConfigurationError
from imug_tts.training.data import Capability, Record
from imug_tts.training.encoding import FAMILIES, Encoder, Sample
from imug_tts.training.losses import Seen
from imug_tts.training.maps import MAPS, Recorder
from imug_tts.training.method import Key, Method, Signal, layers_of, wanted

__all__ = [
    "PRECISIONS",
    "Reader",
    "autocast",
    "check_pair",
    "check_tokens",
    "config_of",
    "load_reader",
    "load_student",
    "load_teacher",
    "num_layers",
    "weight_files",
]

PRECISIONS: Final[Mapping[str, torch.dtype]] = {
    "bf16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}


@dataclass(frozen=True, eq=False)
class Reader:
    """A model of transformers that reads records."""

    model: Any
    layers: int
    """The number of layers of the whole language model, including layers that were not kept."""
    recorder: Recorder
    needs_logits: bool

    def see(self, sample: Sample, kept: Mapping[Key, Tensor]) -> Seen:
        """Make one forward pass over a sample. `kept` is the mapping that the recorder fills meanwhile."""
        inputs: dict[str, Any] = {**sample.inputs, "use_cache": False}
        if not self.needs_logits:
            self.model.model(**inputs)
            return Seen(self.layers, kept)
        logits = self.model(**inputs, logits_to_keep=sample.places).logits
        return Seen(self.layers, kept, logits[0])

    def look(self, sample: Sample) -> Seen:
        """Make one recorded forward pass over a sample, without a backward pass."""
        with self.recorder.recording(sample.is_image) as kept:
            return self.see(sample, kept)


def config_of(folder: Path, role: str) -> Any:
    """Return the transformers configuration of a model folder, without loading weights.

    Raises:
        ConfigurationError: the folder has no model, its family cannot be distilled, or it has attention
            dropout or sliding attention.
    """
    from transformers import AutoConfig

    stored = read_json(folder / "config.json")
    if stored.get("model_type") not in FAMILIES:
        advice = (
            "convert it to the layout of transformers, or download the -hf version"
            if stored.get("model_type") == "internvl_chat"
            else f"models of {' and '.join(FAMILIES.values())} can be distilled"
        )
        raise ConfigurationError(f"{role}: {folder} is of type {stored.get('model_type')!r}; {advice}")
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    dropout = getattr(config.text_config, "attention_dropout", 0)
    if dropout:
        raise ConfigurationError(
            f"{role}: {folder} has attention_dropout {dropout}, under which attention maps are not defined; "
            "set it to 0 in its config.json"
        )
    if "sliding_attention" in getattr(config.text_config, "layer_types", ()):
        raise ConfigurationError(
            f"{role}: {folder} has layers of sliding attention, whose maps show a part of the tokens alone; "
            "set use_sliding_window to false in its config.json, and remove layer_types there if it names any"
        )
    return config


def num_layers(config: Any) -> int:
    """Return the number of layers of the language model."""
    return int(config.text_config.num_hidden_layers)


def load_student(
    folder: Path, method: Method, *, dtype: torch.dtype, device: torch.device, train_vision: bool
) -> Reader:
    """Load the student. Its language model is trained; with `train_vision`, the rest of the model is too.

    Raises:
        ConfigurationError: the student cannot be loaded.
    """
    model = _load(folder, "student", dtype, device)
    for part in model.model.children():
        part.requires_grad_(part is model.model.language_model or train_vision)
    layers = len(model.model.language_model.layers)
    recorder = Recorder(model.model.language_model.layers, wanted(method.signals, layers))
    return Reader(model.train(), layers, recorder, needs_logits=True)


def load_teacher(
    folder: Path,
    signals: Mapping[Capability, Signal],
    *,
    needs_logits: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Reader:
    """Load a teacher without gradients. Layers after the last one that a signal needs are dropped, unless
    logits are needed.

    Raises:
        ConfigurationError: the teacher cannot be loaded.
    """
    model = _load(folder, "teacher", dtype, device).requires_grad_(False)
    text = model.model.language_model
    layers = len(text.layers)
    keys = wanted(signals, layers)
    if not needs_logits:
        text.layers = text.layers[: max(layer for _, layer in keys) + 1]
        model.lm_head = nn.Identity()
    return Reader(model.eval(), layers, Recorder(text.layers, keys), needs_logits)


def load_reader(folder: Path, role: str, device: torch.device) -> Reader:
    """Load a model for evaluation, in the data type of its files. Nothing is recorded.

    Raises:
        ConfigurationError: the model cannot be loaded.
    """
    model = _load(folder, role, "auto", device).requires_grad_(False)
    layers = model.model.language_model.layers
    return Reader(model.eval(), len(layers), Recorder(layers, frozenset()), needs_logits=True)


def _load(folder: Path, role: str, dtype: torch.dtype | str, device: torch.device) -> Any:
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging

    config = config_of(folder, role)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        load: Any = AutoModelForImageTextToText.from_pretrained
        model, info = load(
            folder,
            config=config,
            dtype=dtype,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except (OSError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the {role} in {folder} cannot be loaded: {error}; download it again"
        ) from error
    check_loaded(info, folder, advice="download the model again")
    model.set_attn_implementation({"text_config": MAPS, "vision_config": "sdpa"})
    return model.to(device)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder, sorted."""
    return sorted(folder.glob("*.safetensors"))


def _num_weights(folder: Path) -> int:
    """Return the number of weights in a model folder, from the headers of its files."""
    return sum(header.count for header in tensor_headers(weight_files(folder)).values())


def check_pair(student: Path, teacher: Path, signals: Mapping[Capability, Signal]) -> None:
    """Check, without loading weights, that a student can imitate a teacher.

    Raises:
        ConfigurationError: the two models belong to different families, the teacher has fewer weights or too
            few layers, or a model lacks a layer of a signal.
    """
    own, other = config_of(student, "student"), config_of(teacher, "teacher")
    if own.model_type != other.model_type:
        raise ConfigurationError(
            f"the student {student} is of {FAMILIES[own.model_type]} and the teacher {teacher} of "
            f"{FAMILIES[other.model_type]}; both must be of one family, to read the same tokens"
        )
    sizes = _num_weights(student), _num_weights(teacher)
    if sizes[1] < sizes[0]:
        raise ConfigurationError(
            f"the teacher {teacher} has {sizes[1]:,} weights, fewer than the {sizes[0]:,} of the student "
            f"{student}; take a larger teacher, or were the two folders swapped?"
        )
    counts = num_layers(own), num_layers(other)
    for capability, signal in signals.items():
        try:
            pair = [len(layers_of(signal.layers, count)) for count in counts]
        except ValueError as error:
            raise ConfigurationError(f"method.{capability}.layers: {error}") from error
        if pair[1] < pair[0]:
            raise ConfigurationError(
                f"the teacher {teacher} has {counts[1]} layers and the student {student} {counts[0]}, so "
                f"method.{capability}.layers={signal.layers} gives a student layer no teacher layer; take a "
                "larger teacher"
            )


def check_tokens(student: Path, teacher: Path, record: Record, image_px: int | None) -> None:
    """Check that both models read one record as the same tokens and pixels.

    Raises:
        ConfigurationError: tokens or pixels differ; the message says how.
    """
    own, other = (
        Encoder(folder, config_of(folder, role), image_px)
        for folder, role in ((student, "student"), (teacher, "teacher"))
    )
    words = own.tokenizer.get_vocab(), other.tokenizer.get_vocab()
    if words[0] != words[1]:
        changed = sorted(words[0].items() ^ words[1].items(), key=lambda item: item[1])
        raise ConfigurationError(
            f"the tokenizers of the student {student} and the teacher {teacher} differ, first in the token "
            f"{changed[0][0]!r}; take both from one family and version"
        )
    samples = own.encode(record), other.encode(record)
    counts = [int(sample.is_image.sum()) for sample in samples]
    if counts[0] != counts[1]:
        raise ConfigurationError(
            f"the images of a record are {counts[0]} tokens for the student {student} and {counts[1]} for "
            f"the teacher {teacher}; attention maps need equal numbers, so take models with one image size"
        )
    for name, value in samples[0].inputs.items():
        theirs = samples[1].inputs[name]
        if value.shape != theirs.shape or not torch.allclose(value.double(), theirs.double(), atol=1e-5):
            what = "prepare an image" if "pixel" in name else "read a conversation"
            raise ConfigurationError(
                f"the student {student} and the teacher {teacher} {what} differently ({name}); their chat "
                "templates, image sizes and normalisation must be the same"
            )


def autocast(precision: str, device: torch.device) -> Any:
    """Return a context that computes in bfloat16 for precision "bf16", else one that does nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
