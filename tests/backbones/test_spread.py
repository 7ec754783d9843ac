"""Models whose weights accelerate spreads over devices, memory and disk answer as they do on one device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imug_tts.backbones.bagel import BagelBackbone
from imug_tts.backbones.composite import CompositeBackbone
from imug_tts.backbones.emu3 import Emu3Backbone
from imug_tts.backbones.janus import JanusBackbone
from imug_tts.contracts import Candidate, ConfigurationError, Local, Request, Sampling
from imug_tts.dialogue import Message, Modality, Text
from imug_tts.testing.toys import ToyBackbone, picture

HISTORY = (
    Message("user", (Text("draw a star"),)),
    Message("assistant", (picture("star"),)),
    Message("user", (Text("add a circle"),)),
)
LITTLE_GIB = 1e-4
"""Less memory than the small checkpoints take."""


def backbone(name: str, folder: Path, **knobs: Any) -> Local:
    if name == "janus":
        return JanusBackbone(folder=folder, **knobs)
    if name == "bagel":
        return BagelBackbone(folder=folder, steps=3, **knobs)
    if name == "emu3":
        return Emu3Backbone(folder=folder, **knobs)
    return CompositeBackbone(folder=folder, text=ToyBackbone(), steps=1, **knobs)


def answers(model: Local) -> list[list[Candidate]]:
    modalities: tuple[Modality, ...] = ("image", "text")
    sampling = Sampling(max_tokens=4)
    return [
        [Candidate(output=made.output, p_yes=made.p_yes) for made in candidates]
        for modality in modalities
        for candidates in model.generate(
            [Request(history=HISTORY, modality=modality, seeds=(1, 2), sampling=sampling)]
        )
    ]


@pytest.fixture(params=["bagel", "janus", "emu3", "composite"])
def named(request: pytest.FixtureRequest) -> tuple[str, Path]:
    name: str = request.param
    return name, request.getfixturevalue(f"tiny_{name}")


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential"])
def test_every_way_to_spread_gives_the_same(named: tuple[str, Path], device_map: str) -> None:
    assert answers(backbone(*named, device_map=device_map)) == answers(backbone(*named, device_map="cpu"))


@pytest.mark.parametrize(
    "named", ["bagel", "janus", "composite"], indirect=True
)  # emu3's quantizer cannot leave memory
def test_weights_on_disk_give_the_same_before_and_after_unloading(
    named: tuple[str, Path], tmp_path: Path
) -> None:
    spread = backbone(*named, device_map="auto", max_cpu_gib=LITTLE_GIB, offload_folder=tmp_path)
    assert spread.is_spread
    expected = answers(backbone(*named, device_map="cpu"))
    assert answers(spread) == expected
    spread.unload()
    assert answers(spread) == expected


@pytest.mark.parametrize("named", ["bagel", "composite"], indirect=True)
def test_weights_that_fit_nowhere_are_refused_with_what_to_do(named: tuple[str, Path]) -> None:
    model = backbone(*named, device_map="auto", max_cpu_gib=LITTLE_GIB)
    with pytest.raises(ConfigurationError, match="set offload_folder"):
        answers(model)
