"""The released folder: strict loading, what a damaged one says, sizes, memory and devices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imug_tts.backbones.bagel import BagelBackbone
from imug_tts.contracts import ConfigurationError, Request, Sampling
from imug_tts.dialogue import Message, Text
from imug_tts.testing.checkpoints.bagel import write_tiny_bagel

ASKED = Request(
    history=(Message("user", (Text("a house"),)),),
    modality="image",
    seeds=(3,),
    sampling=Sampling(settings=(("steps", 4),)),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_bagel(tmp_path, seed=0)
    return tmp_path


def rewrite(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


@pytest.mark.parametrize("file", ["ema.safetensors", "ae.safetensors"])
def test_loading_reports_all_tensors_that_do_not_fit(folder: Path, file: str) -> None:
    def damage(tensors: dict[str, Any]) -> None:
        names = sorted(name for name in tensors if name.endswith(".bias") and "coder" not in name)
        names = names or sorted(name for name in tensors if name.endswith(".bias"))
        tensors.pop(names[0])
        tensors["stray.weight"] = tensors[names[1]]
        tensors[names[2]] = tensors[names[2]][:-1]
        damage.names = names  # type: ignore[attr-defined]

    rewrite(folder / file, damage)
    with pytest.raises(ConfigurationError) as raised:
        BagelBackbone(folder=folder).generate([ASKED])
    missing, _, misshaped, *_ = damage.names  # type: ignore[attr-defined]
    said = str(raised.value)
    assert str(folder / file) in said
    assert f"missing: {missing}" in said
    assert "unexpected: stray.weight" in said
    assert f"of another shape: {misshaped} is [" in said
    assert "hf download ByteDance-Seed/BAGEL-7B-MoT" in said


@pytest.mark.parametrize("file", ["llm_config.json", "vit_config.json", "ema.safetensors", "ae.safetensors"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ConfigurationError, match=file):
        BagelBackbone(folder=folder).generate([ASKED])


def test_a_folder_without_a_tokenizer_says_so(folder: Path) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        (folder / file).unlink()
    with pytest.raises(ConfigurationError, match=r"tokenizer"):
        BagelBackbone(folder=folder).generate([ASKED])


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace("<|vision_start|>", "<|another|>"))
    with pytest.raises(ConfigurationError, match=r"has no <\|vision_start\|>"):
        BagelBackbone(folder=folder).generate([ASKED])


def test_weights_without_the_fixed_positions_are_of_the_released_size(folder: Path) -> None:
    from imug_tts.backbones.bagel.folder import shape_of
    from imug_tts.backbones.native.checkpoint import tensor_headers

    headers = tensor_headers([folder / "ema.safetensors"])
    shapes = {name: header.shape for name, header in headers.items() if "pos_embed" not in name}
    shape = shape_of(folder, shapes)
    assert (shape.latent_side, shape.vit_side, shape.stores_grids) == (64, 70, False)


def test_fixed_positions_that_are_computed_are_those_that_are_stored(folder: Path) -> None:
    from safetensors.torch import load_file

    from imug_tts.backbones.bagel.vision import GridPositions

    stored = load_file(folder / "ema.safetensors")["latent_pos_embed.pos_embed"]
    computed = GridPositions(side=8, width=stored.shape[1], is_stored=False)
    computed.reset()
    assert float((computed.pos_embed - stored).abs().max()) < 1e-6


def test_spread_by_accelerate_it_draws_the_same(folder: Path) -> None:
    one = BagelBackbone(folder=folder, device_map="cpu")
    several = BagelBackbone(folder=folder, device_map="auto")
    assert one.generate([ASKED]) == several.generate([ASKED])


def test_the_identity_is_of_the_weights_and_loads_none(folder: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    write_tiny_bagel(other, seed=1)
    again = tmp_path_factory.mktemp("again")
    write_tiny_bagel(again, seed=0)
    models = [BagelBackbone(folder=each) for each in (folder, again, other)]
    first, same, another = (model.identity for model in models)
    assert first == same != another
    assert not any(model.is_loaded for model in models)


def test_memory_is_estimated_from_the_files(folder: Path) -> None:
    single, double = (BagelBackbone(folder=folder, dtype=dtype).memory for dtype in ("float32", "float64"))
    stored = sum((folder / file).stat().st_size for file in ("ema.safetensors", "ae.safetensors"))
    assert stored < single.weights < 2 * stored
    assert double.per_turn == 2 * single.per_turn
    assert double.per_candidate == 2 * single.per_candidate
    # an image to go on from (64 + 2 latents) and twice one to see (49 + 2), with 400 tokens of text
    token = 2 * 2 * 2 * 16 * 4  # keys and values, layers, key heads, head width, bytes
    assert single.per_turn == token * (66 + 2 * 51 + 400)


def test_a_file_of_another_model_gives_no_estimate(folder: Path) -> None:
    file = folder / "llm_config.json"
    configuration = json.loads(file.read_text())
    del configuration["num_key_value_heads"]
    file.write_text(json.dumps(configuration))
    with pytest.raises(ConfigurationError, match="num_key_value_heads"):
        _ = BagelBackbone(folder=folder).memory
