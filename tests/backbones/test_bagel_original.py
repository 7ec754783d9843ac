"""Equal weights, equal results: against what the original code of BAGEL made of a small checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest

from imug_tts.backbones.bagel import BagelBackbone, BagelSettings
from imug_tts.contracts import Candidate, Request, Sampling
from imug_tts.dialogue import Image, Message, Text
from imug_tts.testing.checkpoints.bagel import write_tiny_bagel

REFERENCE: Final = Path(__file__).parent / "bagel_reference"
CASES: Final[Mapping[str, Any]] = json.loads((REFERENCE / "cases.json").read_text())
IMAGES: Final = [name for name, case in CASES.items() if case["modality"] == "image"]
TEXTS: Final = [name for name, case in CASES.items() if case["modality"] == "text"]


@pytest.fixture(scope="module")
def arrays() -> Mapping[str, npt.NDArray[Any]]:
    with np.load(REFERENCE / "reference.npz", allow_pickle=False) as opened:
        return dict(opened)


@pytest.fixture(scope="module")
def bagel(tmp_path_factory: pytest.TempPathFactory) -> BagelBackbone:
    folder = tmp_path_factory.mktemp("bagel")
    write_tiny_bagel(folder, seed=0)
    return BagelBackbone(folder=folder)


def history(case: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[Message, ...]:
    def part(stated: Any) -> Text | Image:
        if isinstance(stated, str):
            return Text(stated)
        return Image.from_pixels(arrays[f"image_{stated['image']}"])

    return tuple(Message(role, tuple(part(each) for each in parts)) for role, parts in case["history"])


def answer(
    bagel: BagelBackbone, case: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], temperature: float
) -> Candidate:
    sampling = Sampling(
        temperature=temperature,
        max_tokens=case.get("max_tokens", 1),
        settings=tuple(case["settings"].items()),
    )
    request = Request(history=history(case, arrays), modality=case["modality"], seeds=(0,), sampling=sampling)
    return bagel.generate([request])[0][0]


@pytest.mark.parametrize("name", TEXTS)
def test_greedy_text_is_that_of_the_original(
    bagel: BagelBackbone, arrays: Mapping[str, npt.NDArray[Any]], name: str
) -> None:
    assert answer(bagel, CASES[name], arrays, temperature=0.0).output == Text(CASES[name]["text"])


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_costs_as_many_evaluations_and_has_the_same_thought(
    bagel: BagelBackbone, arrays: Mapping[str, npt.NDArray[Any]], name: str
) -> None:
    made = answer(bagel, CASES[name], arrays, temperature=1.0)
    assert (made.cost.nfe, made.thought) == (CASES[name]["nfe"], CASES[name]["thought"])
    assert isinstance(made.output, Image)
    assert made.output.pixels().shape == arrays[f"{name}_pixels"].shape


@pytest.mark.parametrize("name", IMAGES)
def test_the_same_noise_gives_the_same_latents_and_pixels(
    bagel: BagelBackbone, arrays: Mapping[str, npt.NDArray[Any]], name: str
) -> None:
    import torch

    from imug_tts.backbones.bagel.context import ContextCache
    from imug_tts.backbones.bagel.denoise import denoise
    from imug_tts.backbones.bagel.history import pieces
    from imug_tts.backbones.bagel.latents import decode
    from imug_tts.backbones.bagel.loading import load
    from imug_tts.backbones.bagel.reading import Reader
    from imug_tts.backbones.bagel.settings import drawing
    from imug_tts.backbones.bagel.vision import pixels_of

    case, settings = CASES[name], drawing(BagelSettings(), CASES[name]["settings"].items())
    loaded = load(replace(bagel, device_map="cpu"))
    reader = Reader(loaded, ContextCache(1 << 20))
    branches = reader.for_image(pieces(history(case, arrays), settings.history), settings.think).branches
    if case["thought"] is not None:
        branches = branches.thinking(reader.text(branches.full, case["thought"]))
    due = torch.from_numpy(arrays[f"{name}_latents"])
    noise = torch.from_numpy(arrays["noise"])[None, : len(due)]
    height, width = (edge // loaded.latent_stride for edge in arrays[f"{name}_pixels"].shape[:2])
    latents, _ = denoise(loaded.model, branches, noise, (height, width), settings, loaded.specials)
    assert float((latents[0] - due).norm() / due.norm()) < 1e-5
    pixels = decode(loaded.autoencoder, pixels_of(latents[0], 2, height, width)).numpy().astype(int)
    assert np.abs(pixels - arrays[f"{name}_pixels"]).max() <= 1
