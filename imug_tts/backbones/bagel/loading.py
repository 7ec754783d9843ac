"""From a folder to a model that is ready: strict loading, on one device or spread over several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from imug_tts.backbones.bagel.folder import AUTOENCODER, WEIGHTS, shape_of, specials_of, tokenizer_of
from imug_tts.backbones.bagel.latents import autoencoder_name, autoencoder_shape
from imug_tts.backbones.bagel.model import LATENT_PATCH, Bagel, Shape, Specials
from imug_tts.backbones.bagel.sizes import Limits, latent_limits, vit_limits
from imug_tts.backbones.native.checkpoint import Misfit, load_strictly, tensor_headers
from imug_tts.contracts import ConfigurationError

__all__ = ["Loaded", "load"]

ADVICE: Final = (
    "take all files of BAGEL-7B-MoT from one place: hf download ByteDance-Seed/BAGEL-7B-MoT --local-dir FOLDER"
)
_TOGETHER: Final = ("Layer", "SiglipEncoderLayer")
"""Classes of modules whose parts stay on one device."""
_AT_HOME: Final = (
    *("language_model.model.embed_tokens", "language_model.model.norm", "language_model.model.norm_moe_gen"),
    *("language_model.model.rotary_emb", "language_model.lm_head", "time_embedder", "vae2llm", "llm2vae"),
    *("vit_pos_embed", "latent_pos_embed", "connector", "vit_model"),
)
"""Modules on the first device, where tokens come in and results go out."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """Everything that drawing and writing need."""

    model: Bagel
    autoencoder: AutoencoderKL
    tokenizer: Any
    specials: Specials
    latent_limits: Limits
    vit_limits: Limits

    @property
    def latent_stride(self) -> int:
        """Pixels on an edge of a latent token."""
        return self.latent_limits.stride


def load(
    folder: Path, dtype: torch.dtype | None, device: str, spread: str | None, offload: Path | None
) -> Loaded:
    """Load a released folder.

    Args:
        folder: with the files that `folder` names.
        dtype: the type of the weights; None for that of the file. The autoencoder is float32 or wider.
        device: the device, or the first one.
        spread: how accelerate distributes layers over devices, e.g. "auto"; None for one device.
        offload: where accelerate puts layers that fit nowhere.

    Raises:
        ConfigurationError: a file is missing or damaged, or its tensors are not those of the model.
    """
    headers = tensor_headers([folder / WEIGHTS])
    shape = shape_of(folder, {name: header.shape for name, header in headers.items()})
    dtype = dtype or (torch.bfloat16 if headers["vae2llm.weight"].dtype == "BF16" else torch.float32)
    tokenizer = tokenizer_of(folder)
    specials = specials_of(folder, tokenizer)
    autoencoder = _autoencoder(folder, torch.promote_types(dtype, torch.float32), device)
    model = (
        _on_one_device(folder, shape, dtype, device)
        if spread is None
        else _on_several(folder, shape, dtype, device, spread, offload)
    )
    stride = 2 ** (len(autoencoder.config.block_out_channels) - 1) * LATENT_PATCH
    largest = shape.latent_side * stride
    return Loaded(
        model=model.eval().requires_grad_(False),
        autoencoder=autoencoder,
        tokenizer=tokenizer,
        specials=specials,
        latent_limits=latent_limits(shape.latent_side, stride),
        vit_limits=vit_limits(shape.vit_side, shape.vit.patch_size, largest),
    )


def _on_one_device(folder: Path, shape: Shape, dtype: torch.dtype, device: str) -> Bagel:
    model = empty(shape, dtype, device)
    load_strictly(model, [folder / WEIGHTS], folder / WEIGHTS, advice=ADVICE)
    return model


def empty(shape: Shape, dtype: torch.dtype, device: str) -> Bagel:
    """A model without values in its weights."""
    with torch.device("meta"):
        model = Bagel(shape)
    model.to(dtype).to_empty(device=device)
    model.home = torch.device(device)
    model.reset_fixed()
    return model


def _on_several(
    folder: Path, shape: Shape, dtype: torch.dtype, device: str, spread: str, offload: Path | None
) -> Bagel:
    from accelerate import infer_auto_device_map, init_empty_weights, load_checkpoint_and_dispatch
    from accelerate.utils import get_balanced_memory

    with init_empty_weights(include_buffers=False):
        model = Bagel(shape)
    _check(model.state_dict(), folder)
    memory = None
    if spread != "sequential":
        memory = get_balanced_memory(
            model,
            dtype=dtype,
            no_split_module_classes=list(_TOGETHER),
            low_zero=spread == "balanced_low_0",
        )
    places = infer_auto_device_map(
        model, max_memory=memory, no_split_module_classes=list(_TOGETHER), dtype=dtype
    )
    for name in _AT_HOME if places.keys() != {""} else ():
        places = {place: where for place, where in places.items() if not f"{place}.".startswith(f"{name}.")}
        places[name] = device
    load_checkpoint_and_dispatch(
        model,
        checkpoint=str(folder / WEIGHTS),
        device_map=places,
        dtype=dtype,
        offload_folder=None if offload is None else str(offload),
    )
    model.home = torch.device(device)
    model.reset_fixed()
    return model


def _check(model: Mapping[str, torch.Tensor], folder: Path) -> None:
    """What `load_strictly` checks, for a loader that does not."""
    found = {name: header.shape for name, header in tensor_headers([folder / WEIGHTS]).items()}
    due = {name: tuple(tensor.shape) for name, tensor in model.items()}
    Misfit.between(found, due).check(folder / WEIGHTS, ADVICE)


def _autoencoder(folder: Path, dtype: torch.dtype, device: str) -> AutoencoderKL:
    """The autoencoder; its 1 x 1 convolutions are linear maps in diffusers."""
    file = folder / AUTOENCODER
    shapes = {name: header.shape for name, header in tensor_headers([file]).items()}
    try:
        arguments = autoencoder_shape(shapes)
    except KeyError as error:
        raise ConfigurationError(f"{file} has no tensor {error.args[0]}; {ADVICE}") from error
    autoencoder = AutoencoderKL(**arguments)
    levels, due = len(arguments["block_out_channels"]), autoencoder.state_dict()
    names = {name: autoencoder_name(name, levels) for name in shapes}
    found = {names[name]: _as_linear(shape, names[name]) for name, shape in shapes.items()}
    Misfit.between(found, {name: tuple(tensor.shape) for name, tensor in due.items()}).check(file, ADVICE)
    tensors = {names[name]: tensor for name, tensor in load_file(file).items()}
    autoencoder.load_state_dict({name: tensor.reshape(found[name]) for name, tensor in tensors.items()})
    return autoencoder.to(device, dtype).eval().requires_grad_(False)


def _as_linear(shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    return shape[:2] if ".attentions." in name and shape[2:] == (1, 1) else shape
