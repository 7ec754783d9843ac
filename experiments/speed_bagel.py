"""Speed and memory of a full-size BAGEL with random weights, on a GPU.

    python experiments/speed_bagel.py [--json FILE]

It draws at 1024 px with the settings of IMUG-Bench (50 timesteps) and prints seconds per image with 1 and 4
candidates, the share of the measured peak of matrix products, and the peak memory over a dialogue of six
turns. It needs about 45 GB of GPU memory and some minutes. Random weights are as fast as trained ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imug_tts.contracts import Candidate, Request
from imug_tts.dialogue import Image, Message, Text

if TYPE_CHECKING:
    import torch

    from imug_tts.backbones.bagel.generator import BagelGenerator
    from imug_tts.backbones.bagel.model import Shape

__all__ = [
    "figures",
    "full_shape",
    "main",
    "random_bagel",
]

TURNS = 6
CANDIDATES = (1, 4)
CACHE_BYTES = 8 << 30


def full_shape() -> Shape:
    """The sizes of BAGEL-7B-MoT."""
    from transformers import Qwen2Config, SiglipVisionConfig

    from imug_tts.backbones.bagel.model import Shape

    return Shape(
        llm=Qwen2Config(
            vocab_size=152064,
            hidden_size=3584,
            intermediate_size=18944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        ),
        vit=SiglipVisionConfig(
            hidden_size=1152, intermediate_size=4304, num_hidden_layers=26, num_attention_heads=16
        ),
        patch_size=14,
        latent_channels=16,
        latent_side=64,
        vit_side=70,
        vit_positions=70**2,
        time_frequencies=256,
        stores_grids=False,
    )


def random_bagel(shape: Shape, channels: tuple[int, ...], device: str, dtype: torch.dtype) -> BagelGenerator:
    """A model with random weights; `channels` are those of the autoencoder's levels."""
    import torch
    from diffusers import AutoencoderKL
    from torch import nn

    from imug_tts.backbones.bagel.context import ContextCache
    from imug_tts.backbones.bagel.folder import specials_of, tokenizer_of
    from imug_tts.backbones.bagel.generator import BagelGenerator
    from imug_tts.backbones.bagel.latents import autoencoder_arguments
    from imug_tts.backbones.bagel.loading import Loaded, empty
    from imug_tts.backbones.bagel.reading import Reader
    from imug_tts.testing.checkpoints.bagel import write_tiny_bagel

    model = empty(shape, dtype, device)
    for parameter in model.parameters():
        nn.init.normal_(parameter.data, std=0.02)
    arguments = autoencoder_arguments(channels, 2, shape.latent_channels)
    autoencoder: Any = AutoencoderKL(**arguments)  # type: ignore[no-untyped-call]
    nn.Module.to(autoencoder, device=device, dtype=torch.promote_types(dtype, torch.float32))
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_bagel(Path(folder))
        tokenizer = tokenizer_of(Path(folder))
        specials = specials_of(Path(folder), tokenizer)
    loaded = Loaded.of(model, autoencoder, tokenizer, specials)
    return BagelGenerator(loaded, Reader(loaded, ContextCache(CACHE_BYTES)))


def figures(generator: BagelGenerator, timesteps: int) -> dict[str, float]:
    """Seconds per image and share of the peak with 1 and 4 candidates; seconds and memory over six turns."""
    peak = _matrix_flops(generator)
    measured = {"peak_tflops": peak / 1e12}
    asked = [Message("user", (Text("Draw a wooden house at the edge of a lake, in the evening."),))]
    _draw(generator, asked, 1, timesteps)
    for count in CANDIDATES:
        seconds, candidate = _draw(generator, asked, count, timesteps)
        work = count * candidate.cost.nfe * _evaluation_flops(generator)
        measured[f"seconds_per_image_{count}"] = seconds / count
        measured[f"share_of_peak_{count}"] = work / seconds / peak
    return measured | _dialogue(generator, timesteps)


def _draw(
    generator: BagelGenerator, history: Sequence[Message], count: int, timesteps: int
) -> tuple[float, Candidate]:
    """Seconds of one call until its pixels are in main memory, and one of its candidates."""
    from imug_tts.backbones.bagel.settings import PRESETS

    request = Request(history=tuple(history), modality="image", seeds=tuple(range(count)))
    started = time.perf_counter()
    made = generator.draw(request, replace(PRESETS["imug"], timesteps=timesteps))
    return time.perf_counter() - started, made[0]


def _dialogue(generator: BagelGenerator, timesteps: int) -> dict[str, float]:
    """Seconds of the last of six image turns, and peak GPU memory in gigabytes."""
    import torch

    on_gpu = generator.loaded.model.home.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    history, seconds = list[Message](), 0.0
    for turn in range(TURNS):
        history.append(Message("user", (Text(f"Turn {turn}: move the house a little to the left."),)))
        seconds, candidate = _draw(generator, history, 1, timesteps)
        assert isinstance(candidate.output, Image)
        history.append(Message("assistant", (candidate.output,)))
    gigabytes = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0
    return {"seconds_of_turn_6": seconds, "dialogue_peak_gb": gigabytes}


def _evaluation_flops(generator: BagelGenerator) -> float:
    """Operations of one network evaluation of one candidate without a long history."""
    shape = generator.loaded.model.shape
    llm, tokens = shape.llm, shape.latent_side**2 + 2
    width, layers = llm.hidden_size, llm.num_hidden_layers
    shared = width // llm.num_attention_heads * (llm.num_key_value_heads or llm.num_attention_heads)
    weights = 2 * width * (width + shared) + 3 * width * llm.intermediate_size
    return layers * tokens * (2.0 * weights + 4.0 * tokens * width)


def _matrix_flops(generator: BagelGenerator) -> float:
    """Operations per second of a large matrix product in the model's dtype."""
    import torch

    home = generator.loaded.model.home
    side = 8192 if home.type == "cuda" else 256
    matrix = torch.ones(side, side, device=home, dtype=next(generator.loaded.model.parameters()).dtype)
    product = matrix @ matrix
    float(product[0, 0])
    started = time.perf_counter()
    for _ in range(10):
        product = matrix @ matrix
    float(product[0, 0])  # waits until all are done
    return 10 * 2 * side**3 / (time.perf_counter() - started)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    command = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    command.add_argument("--json", type=Path, help="also write the figures to this file")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    import torch

    if not torch.cuda.is_available():
        print("PyTorch finds no GPU, so nothing is measured; run this on a machine with a GPU")
        return 0
    generator = random_bagel(full_shape(), (128, 256, 512, 512), "cuda:0", torch.bfloat16)
    measured = figures(generator, timesteps=50)
    print(torch.cuda.get_device_name())
    for name, value in measured.items():
        print(f"{name:24} {value:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
