"""Speed and memory of BAGEL: of a small one on the CPU, and of one of full size on a GPU.

    python experiments/speed.py bagel_best_of_8 bagel_second_turn_cached
    python experiments/speed_bagel.py [--json FILE]

The second command draws with random weights of full size at 1024 px with the settings of IMUG-Bench (50
timesteps): seconds per image with 1 and 4 candidates, the share of the measured peak of matrix products, and
the peak memory over a dialogue of six turns. It takes about 45 GB of GPU memory and some minutes. Random
weights take as long as trained ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imug_tts.contracts import Candidate, Request
from imug_tts.dialogue import Image, Message, Text

if TYPE_CHECKING:
    import torch

    from imug_tts.backbones.bagel import BagelBackbone
    from imug_tts.backbones.bagel.artist import Artist
    from imug_tts.backbones.bagel.model import Shape

__all__ = [
    "best_of_8_vs_separate",
    "figures",
    "full_shape",
    "main",
    "random_artist",
    "second_turn_cached_share",
]

TURNS = 6
SHORT = "Move the house to the left."
LONG = (
    f"{SHORT} Keep the lake, the boat and the evening light as they were before, and add nothing else. " * 2
)
"""The small model reads text byte by byte, so that this is as many tokens as two images."""
CANDIDATES = (1, 4)
CACHE_BYTES = 8 << 30


def best_of_8_vs_separate() -> float:
    """Time of 8 calls that each read six turns and draw one image, over that of one call of 8 candidates.

    The small model gains from fuller matrices as well. At full size a GPU computes about as long for each
    image of a batch as for one alone, and what is saved is reading the turns: see `docs/guides/bagel.md`.
    """
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        bagel = _small(Path(folder), prefix_cache_gib=0.0)
        history = _turns(TURNS, SHORT)
        _ = bagel.generate([_image_of(history, (0,))])
        together = _seconds(lambda: bagel.generate([_image_of(history, tuple(range(8)))]))
        apart = _seconds(lambda: [bagel.generate([_image_of(history, (seed,))]) for seed in range(8)])
    return apart / together


def second_turn_cached_share() -> float:
    """Share of the tokens read in a dialogue's second turn that earlier calls had read.

    A turn draws 4 candidates in one request and asks the model itself about each.
    """
    with tempfile.TemporaryDirectory() as folder:
        bagel = _small(Path(folder), prefix_cache_gib=8.0)
        history = _turns(2, LONG)
        drawn = _drawn_and_checked(bagel, history[:1])
        before = bagel.prefilled_tokens
        _drawn_and_checked(bagel, (history[0], Message("assistant", (drawn,)), history[2]))
        computed, served = (now - then for now, then in zip(bagel.prefilled_tokens, before, strict=True))
    return served / (served + computed)


def _drawn_and_checked(bagel: BagelBackbone, history: tuple[Message, ...]) -> Image:
    """Draw 4 candidates, check each, and return the first."""
    question = Message("user", (Text("Does the image show what was asked? Answer yes or no."),))
    images = [drawn.output for drawn in bagel.generate([_image_of(history, (1, 2, 3, 4))])[0]]
    for image in images:
        assert isinstance(image, Image)
        asked = (*history, Message("assistant", (image,)), question)
        bagel.generate([Request(history=asked, modality="text", seeds=(1,), form="yes_no")])
    assert isinstance(images[0], Image)
    return images[0]


def _small(folder: Path, prefix_cache_gib: float) -> BagelBackbone:
    from imug_tts.backbones.bagel import BagelBackbone
    from imug_tts.testing.checkpoints.bagel import write_tiny_bagel

    write_tiny_bagel(folder)
    return BagelBackbone(folder=folder, prefix_cache_gib=prefix_cache_gib)


def _image_of(history: tuple[Message, ...], seeds: tuple[int, ...]) -> Request:
    return Request(history=history, modality="image", seeds=seeds)


def _turns(count: int, text: str) -> tuple[Message, ...]:
    """A dialogue up to the user's message of turn `count`; every turn before it has an image."""
    import numpy as np

    rng = np.random.default_rng(0)
    history = list[Message]()
    for turn in range(count):
        history.append(Message("user", (Text(f"{text} Turn {turn}."),)))
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        history.append(Message("assistant", (Image.from_pixels(pixels),)))
    return tuple(history[:-1])


def _seconds(work: Callable[[], object]) -> float:
    """The better of two."""
    return min(_once(work) for _ in range(2))


def _once(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small matrices are slower on several threads when other processes want the processors too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def random_artist(shape: Shape, channels: tuple[int, ...], device: str, dtype: torch.dtype) -> Artist:
    """A model with random weights; `channels` are those of the autoencoder's levels."""
    import torch
    from diffusers import AutoencoderKL
    from torch import nn

    from imug_tts.backbones.bagel.artist import Artist
    from imug_tts.backbones.bagel.context import ContextCache
    from imug_tts.backbones.bagel.folder import specials_of, tokenizer_of
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
    return Artist(loaded, Reader(loaded, ContextCache(CACHE_BYTES)))


def figures(artist: Artist, timesteps: int) -> dict[str, float]:
    """Seconds per image and share of the peak with 1 and 4 candidates; seconds and memory over six turns."""
    peak = _matrix_flops(artist)
    measured = {"peak_tflops": peak / 1e12}
    asked = [Message("user", (Text("Draw a wooden house at the edge of a lake, in the evening."),))]
    _draw(artist, asked, 1, timesteps)
    for count in CANDIDATES:
        seconds, candidate = _draw(artist, asked, count, timesteps)
        work = count * candidate.cost.nfe * _evaluation_flops(artist)
        measured[f"seconds_per_image_{count}"] = seconds / count
        measured[f"share_of_peak_{count}"] = work / seconds / peak
    return measured | _dialogue(artist, timesteps)


def _draw(artist: Artist, history: Sequence[Message], count: int, timesteps: int) -> tuple[float, Candidate]:
    """Seconds of one call, which ends with pixels in main memory, and one of its candidates."""
    from imug_tts.backbones.bagel.settings import PRESETS

    request = Request(history=tuple(history), modality="image", seeds=tuple(range(count)))
    started = time.perf_counter()
    made = artist.draw(request, replace(PRESETS["imug"], timesteps=timesteps))
    return time.perf_counter() - started, made[0]


def _dialogue(artist: Artist, timesteps: int) -> dict[str, float]:
    """Six turns, each with an image: seconds of the last one, and gigabytes of GPU memory at the peak."""
    import torch

    on_gpu = artist.loaded.model.home.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    history, seconds = list[Message](), 0.0
    for turn in range(TURNS):
        history.append(Message("user", (Text(f"Turn {turn}: move the house a little to the left."),)))
        seconds, candidate = _draw(artist, history, 1, timesteps)
        assert isinstance(candidate.output, Image)
        history.append(Message("assistant", (candidate.output,)))
    gigabytes = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0
    return {"seconds_of_turn_6": seconds, "dialogue_peak_gb": gigabytes}


def _evaluation_flops(artist: Artist) -> float:
    """Operations of one network evaluation of one candidate without a long history."""
    shape = artist.loaded.model.shape
    llm, tokens = shape.llm, shape.latent_side**2 + 2
    width, layers = llm.hidden_size, llm.num_hidden_layers
    shared = width // llm.num_attention_heads * (llm.num_key_value_heads or llm.num_attention_heads)
    weights = 2 * width * (width + shared) + 3 * width * llm.intermediate_size
    return layers * tokens * (2.0 * weights + 4.0 * tokens * width)


def _matrix_flops(artist: Artist) -> float:
    """Operations per second of a large matrix product in the model's type."""
    import torch

    home = artist.loaded.model.home
    side = 8192 if home.type == "cuda" else 256
    matrix = torch.ones(side, side, device=home, dtype=next(artist.loaded.model.parameters()).dtype)
    product = matrix @ matrix
    float(product[0, 0])
    started = time.perf_counter()
    for _ in range(10):
        product = matrix @ matrix
    float(product[0, 0])  # waits until all are done
    return 10 * 2 * side**3 / (time.perf_counter() - started)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    import torch

    if not torch.cuda.is_available():
        print("PyTorch finds no GPU here, so nothing is measured; run this where there is one")
        return 0
    artist = random_artist(full_shape(), (128, 256, 512, 512), "cuda:0", torch.bfloat16)
    measured = figures(artist, timesteps=50)
    print(torch.cuda.get_device_name())
    for name, value in measured.items():
        print(f"{name:24} {value:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
