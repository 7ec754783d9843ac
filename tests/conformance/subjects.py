"""Our backbones as the suite asks them: one entry each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from imug_tts.backbones.pocket import PocketBackbone
from imug_tts.backbones.pocket.backbone import WEIGHTS
from imug_tts.dialogue import Text
from imug_tts.registry import names
from imug_tts.testing.conformance import Script, Subject
from tests.conformance import servers
from tests.conformance.toys import Sketcher

__all__ = ["MODELS", "NATIVE", "SUBJECTS", "Subjects"]

Make = Callable[[Path], AbstractContextManager[Subject]]
"""Makes a subject that works until the block ends; it may write into a folder of its own."""

_POCKET_DRAW: Final = "draw a seed at c1 , a fire at d2 , then add a green circle anywhere"
_POCKET: Final = Script(
    draw=(Text(_POCKET_DRAW),),
    draw_other=(Text("draw an ash at a1 , a green star at b2"),),
    redraw=(Text("add a blue circle anywhere , then gravity"),),
    ask=(Text(_POCKET_DRAW), Text("plan")),
    ask_other=(Text("draw an ash at a1 , then add a red star anywhere"), Text("plan")),
    check=(Text("check"),),
    refused=(Text("fetch me a coffee"),),
    user_images=False,
)


@contextmanager
def _pocket(folder: Path) -> Iterator[Subject]:
    copied = shutil.copytree(WEIGHTS, folder / "weights")
    yield Subject(backbone=PocketBackbone(), script=_POCKET, max_tokens=64, others={"folder": copied})


@contextmanager
def _sketcher(folder: Path) -> Iterator[Subject]:
    del folder
    yield Subject(backbone=Sketcher(), others={"paper": "grey"})


@contextmanager
def _bagel(folder: Path) -> Iterator[Subject]:
    from imug_tts.backbones.bagel import BagelBackbone
    from imug_tts.testing.checkpoints.bagel import write_tiny_bagel

    write_tiny_bagel(folder / "bagel", seed=0)
    write_tiny_bagel(folder / "other", seed=1)
    yield Subject(
        backbone=BagelBackbone(folder=folder / "bagel", dtype="float64"),
        settings={"steps": 4, "size": 16, "think": True, "think_tokens": 3},
        others={
            **_elsewhere(folder),
            "guidance_from": 0.8,
            "guidance_to": 0.7,
            "renorm_min": 1.0,
            "size": 24,
            "preset": "edit",
            "renorm": "channel",
            "history": "plain",
            "think": False,
            "think_temperature": 1.0,
        },
    )


@contextmanager
def _janus(folder: Path) -> Iterator[Subject]:
    from imug_tts.backbones.janus import JanusBackbone
    from imug_tts.testing.checkpoints.janus import write_tiny_janus

    write_tiny_janus(folder / "janus", seed=0)
    write_tiny_janus(folder / "other", seed=1)
    yield Subject(backbone=JanusBackbone(folder=folder / "janus", dtype="float64"), others=_elsewhere(folder))


@contextmanager
def _emu3(folder: Path) -> Iterator[Subject]:
    from imug_tts.backbones.emu3 import Emu3Backbone
    from imug_tts.testing.checkpoints.emu3 import write_tiny_emu3

    write_tiny_emu3(folder / "emu3", seed=0)
    write_tiny_emu3(folder / "other", seed=1)
    yield Subject(
        backbone=Emu3Backbone(folder=folder / "emu3", dtype="float64"),
        others={**_elsewhere(folder), "negative_prompt": "ugly", "image_area": 4096, "context_area": 4096},
    )


@contextmanager
def _composite(folder: Path) -> Iterator[Subject]:
    from imug_tts.backbones.composite import CompositeBackbone
    from imug_tts.testing.checkpoints.composite import write_tiny_composite

    write_tiny_composite(folder / "composite", seed=0)
    write_tiny_composite(folder / "other", seed=1)
    yield Subject(
        backbone=CompositeBackbone(folder=folder / "composite", text=Sketcher(), height=32, width=32),
        settings={"steps": 2},
        others={**_elsewhere(folder), "instruction": "Write a prompt.", "height": 64, "width": 64},
    )


def _elsewhere(folder: Path) -> Mapping[str, Any]:
    """Other values of the knobs that models in this process have in common: other weights among them."""
    return {"folder": folder / "other", "device_map": "cpu", "offload_folder": folder / "offload"}


@contextmanager
def _local_vlm(folder: Path) -> Iterator[Subject]:
    from imug_tts.backbones.local_vlm import LocalVlm
    from imug_tts.testing.checkpoints.vlm import write_tiny_vlm

    write_tiny_vlm(folder / "vlm", seed=0)
    write_tiny_vlm(folder / "other", seed=1)
    yield Subject(backbone=LocalVlm(folder=folder / "vlm", dtype="float64"), others=_elsewhere(folder))


SUBJECTS: Final[Mapping[str, Make]] = {
    "pocket": _pocket,
    "bagel": _bagel,
    "janus": _janus,
    "emu3": _emu3,
    "composite": _composite,
    "imug_server": lambda folder: servers.infer(),
    "imug_server, images only": lambda folder: servers.infer_images(),
    "vllm_omni": lambda folder: servers.omni(),
    "vllm_omni, sensenova_u1": lambda folder: servers.omni_in_place(),
    "openai_chat": lambda folder: servers.chat(),
    "openai": lambda folder: servers.openai(),
    "gemini": lambda folder: servers.gemini(),
    "local_vlm": _local_vlm,
    "sketcher": _sketcher,
}
"""How each backbone is made; a model of yours is one more entry, or `--backbone`."""

OF_JUDGES: Final = ("clip_score", "http_reward", "local_vlm")
"""Models that a judge asks. Those that write nothing, and give rewards alone, have tests of their own."""
MODELS: Final = tuple(name for name in names("backbones") if name in SUBJECTS and name not in OF_JUDGES)
"""Those that configurations name as the model under test."""
NATIVE: Final = ("bagel", "janus", "emu3", "composite")
"""Those in this process that a dialogue of the benchmark can be played with."""


class Subjects:
    """The subjects of a session, each made when it is first asked for."""

    def __init__(self, folder: Path, makers: Mapping[str, Make], open_ones: ExitStack) -> None:
        self._folder, self._makers, self._open = folder, makers, open_ones
        self._made: dict[str, Subject] = {}

    def __getitem__(self, name: str) -> Subject:
        if name not in self._made:
            folder = self._folder / f"subject{len(self._made)}"
            folder.mkdir()
            subject = self._open.enter_context(self._makers[name](folder))
            self._made[name] = replace(subject, name=name)
        return self._made[name]
