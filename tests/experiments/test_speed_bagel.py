"""The GPU figures of BAGEL: measured where there is a GPU, and said in words where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from experiments.speed_bagel import figures, full_shape, random_bagel
from experiments.speed_native import bagel_second_turn

ROOT = Path(__file__).parents[2]


def test_the_full_shape_has_as_many_weights_as_the_released_model() -> None:
    from imug_tts.backbones.bagel.model import Bagel

    with torch.device("meta"):
        model = Bagel(full_shape())
    assert 14.5e9 < sum(parameter.numel() for parameter in model.parameters()) < 14.8e9


def test_the_figures_are_measured_on_a_small_model() -> None:
    full = full_shape()
    llm, vit = full.llm.to_dict(), full.vit.to_dict()
    del llm["layer_types"]  # one for each layer
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = replace(
        full,
        llm=type(full.llm)(**llm | small | {"num_key_value_heads": 1, "vocab_size": 300}),
        vit=type(full.vit)(**vit | small),
        patch_size=4,
        latent_channels=4,
        latent_side=4,
        vit_side=4,
        vit_positions=16,
    )
    measured = figures(random_bagel(shape, (32, 32), "cpu", torch.float32), timesteps=3)
    assert measured.pop("dialogue_peak_gb") == 0.0
    assert set(measured) >= {"seconds_per_image_1", "seconds_per_image_4", "seconds_of_turn_6"}
    assert all(value > 0 for value in measured.values())
    assert measured["share_of_peak_4"] < 1


def test_without_a_gpu_the_command_says_so() -> None:
    command = [sys.executable, str(ROOT / "experiments" / "speed_bagel.py")]
    blind = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=blind, capture_output=True, text=True, check=True)
    assert "finds no GPU" in done.stdout


def test_most_of_a_second_turn_with_checks_comes_from_the_first() -> None:
    assert 0.6 <= bagel_second_turn() < 1
