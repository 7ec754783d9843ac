"""Loads a BAGEL folder strictly into a model, on one device or distributed over several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from imug_tts.backbones.bagel.folder import AUTOENCODER, WEIGHTS, shape_of, specials_of, tokenizer_of
from imug_tts.backbones.bagel.latents import autoencoder_name, autoencoder_shape
from imug_tts.backbones.bagel.model import LATENT_PATCH, Bagel, Shape, Specials
from imug_tts.backbones.bagel.sizes import Limits, latent_limits, vit_limits
from imug_tts.backbones.native.checkpoint import load_strictly, tensor_headers
from imug_tts.backbones.native.placement import Native
from imug_tts.contracts import ConfigurationError

__all__ = ["Loaded", "empty", "load"]

ADVICE: Final = (
    "fetch the files of BAGEL-7B-MoT again: hf download ByteDance-Seed/BAGEL-7B-MoT --local-dir FOLDER"
)
_LAYERS: Final = "language_model.model.layers"
_TOGETHER: Final = ("Layer", "SiglipEncoderLayer")
"""Module classes that must stay on one device."""
_AT_HOME: Final = (
    *("language_model.model.embed_tokens", "language_model.model.norm", "language_model.model.norm_moe_gen"),
    *("language_model.model.rotary_emb", "language_model.lm_head", "time_embedder", "vae2llm", "llm2vae"),
    *("vit_pos_embed", "latent_pos_embed", "connector", "vit_model"),
)
"""Modules on the first device, which takes inputs and returns results."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A loaded model with its autoencoder, tokenizer and size limits."""

    model: Bagel
    autoencoder: Any
    """An AutoencoderKL of diffusers, which has no type annotations."""
    tokenizer: Any
    specials: Specials
    latent_limits: Limits
    vit_limits: Limits

    @classmethod
    def of(cls, model: Bagel, autoencoder: Any, tokenizer: Any, specials: Specials) -> Loaded:
        """The loaded model with the size limits that follow from model and autoencoder."""
        shape = model.shape
        stride = 2 ** (len(autoencoder.config.block_out_channels) - 1) * LATENT_PATCH
        return cls(
            model=model.eval().requires_grad_(False),
            autoencoder=autoencoder.eval().requires_grad_(False),
            tokenizer=tokenizer,
            specials=specials,
            latent_limits=latent_limits(shape.latent_side, stride),
            vit_limits=vit_limits(shape.vit_side, shape.patch_size, shape.latent_side * stride),
        )

    @property
    def latent_stride(self) -> int:
        """The edge of a latent token in pixels."""
        return self.latent_limits.stride


def load(backbone: Native) -> Loaded:
    """Load a released folder, with the dtype and on the devices that the backbone's knobs select.

    The autoencoder is float32 or wider.

    Raises:
        ConfigurationError: a file is missing or damaged, its tensors are not those of the model, the device
            does not exist, or the layers do not fit and `offload_folder` is null.
    """
    backbone.check_device()
    folder, device = backbone.folder, backbone.device
    headers = tensor_headers([folder / WEIGHTS])
    shape = shape_of(folder, {name: header.shape for name, header in headers.items()})
    stored = torch.bfloat16 if headers["vae2llm.weight"].dtype == "BF16" else torch.float32
    dtype = backbone.torch_dtype() or stored
    tokenizer = tokenizer_of(folder)
    specials = specials_of(folder, tokenizer)
    autoencoder = _autoencoder(folder, torch.promote_types(dtype, torch.float32), device)
    place = _on_several if backbone.is_spread else _on_one_device
    return Loaded.of(place(backbone, shape, dtype), autoencoder, tokenizer, specials)


def _on_one_device(backbone: Native, shape: Shape, dtype: torch.dtype) -> Bagel:
    return _filled(backbone.folder, shape, dtype, backbone.device)


def _filled(folder: Path, shape: Shape, dtype: torch.dtype, device: str) -> Bagel:
    model = empty(shape, dtype, device)
    load_strictly(model, [folder / WEIGHTS], folder / WEIGHTS, advice=ADVICE)
    return model


def empty(shape: Shape, dtype: torch.dtype, device: str) -> Bagel:
    """A model with uninitialised weights."""
    with torch.device("meta"):
        model = Bagel(shape)
    model.to(dtype).to_empty(device=device)
    model.home = torch.device(device)
    model.reset_fixed()
    return model


def _on_several(backbone: Native, shape: Shape, dtype: torch.dtype) -> Bagel:
    """A model whose layers are on the devices where accelerate has room for them; loaded into main memory
    first.
    """
    from accelerate import dispatch_model  # type: ignore[import-untyped]

    model, device = _filled(backbone.folder, shape, dtype, "cpu"), backbone.device
    places = backbone.spread(model, _TOGETHER, dtype)
    if places.get("") == "disk":
        places = {f"{_LAYERS}.{number}": "disk" for number in range(shape.llm.num_hidden_layers)}
    if places.keys() != {""}:
        places = {place: where for place, where in places.items() if not place.startswith(_AT_HOME)}
        places |= dict.fromkeys(_AT_HOME, device)
    dispatch_model(model, places, offload_dir=backbone.offload_folder)
    model.home = torch.device(device)
    return model


def _autoencoder(folder: Path, dtype: torch.dtype, device: str) -> Any:
    file = folder / AUTOENCODER
    shapes = {name: header.shape for name, header in tensor_headers([file]).items()}
    try:
        autoencoder: Any = AutoencoderKL(**autoencoder_shape(shapes))  # type: ignore[no-untyped-call]
    except KeyError as error:
        raise ConfigurationError(f"{file} has no tensor {error.args[0]}; {ADVICE}") from error
    load_strictly(_AsReleased(autoencoder, shapes), [file], file, advice=ADVICE)
    nn.Module.to(autoencoder, device=device, dtype=dtype)  # the `to` of diffusers warns about every dtype
    return autoencoder


class _AsReleased(nn.Module):
    """The tensors of an autoencoder with their names and shapes in `ae.safetensors`.

    Some linear maps of diffusers are 1 x 1 convolutions in that file.
    """

    def __init__(self, autoencoder: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        levels = len(autoencoder.config.block_out_channels)
        self._tensors = dict[str, Tensor]()
        names = {autoencoder_name(name, levels): name for name in shapes}
        for name, tensor in autoencoder.state_dict().items():
            is_linear = ".attentions." in name and tensor.dim() == 2
            self._tensors[names.get(name, name)] = tensor[..., None, None] if is_linear else tensor

    def state_dict(self, **_: Any) -> dict[str, Tensor]:  # type: ignore[override]
        return self._tensors
