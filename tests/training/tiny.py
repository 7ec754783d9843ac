"""Tiny models of each family and a synthetic triad of records, for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from imug_tts.testing.checkpoints.internvl3 import write_tiny_internvl3
from imug_tts.testing.checkpoints.qwen2_5_vl import write_tiny_qwen2_5_vl
from imug_tts.training.method import CAPABILITIES

__all__ = ["FAMILIES", "write_models", "write_triad"]

FAMILIES: Final[Mapping[str, Callable[..., None]]] = {
    "internvl3": write_tiny_internvl3,
    "qwen2_5_vl": write_tiny_qwen2_5_vl,
}


def write_models(
    folder: Path, family: str, teachers: int = 1, layers: tuple[int, int] = (3, 5)
) -> tuple[Path, list[Path]]:
    """A student and teachers twice as wide; `layers` are those of the student and of a teacher."""
    write = FAMILIES[family]
    write(folder / "student", 0, layers=layers[0], width=32, heads=4)
    folders = [folder / f"teacher{number}" for number in range(teachers)]
    for number, teacher in enumerate(folders):
        write(teacher, number + 1, layers=layers[1], width=64, heads=8)
    return folder / "student", folders


def write_triad(folder: Path, count: int, images: int = 1) -> Path:
    """Records of the three capabilities in turn, each with images of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0)
    records = [_record(folder, number, images, noise) for number in range(count)]
    path = folder / "triad.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def _record(folder: Path, number: int, images: int, noise: np.random.Generator) -> dict[str, Any]:
    names = [f"{number}_{place}.png" for place in range(images)]
    for name in names:
        Image.fromarray(noise.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / name)
    return {
        "messages": [
            {"role": "user", "content": f"{'<image>' * images}What moves?"},
            {"role": "assistant", "content": f"Car {number % 3}."},
        ],
        "images": names,
        "question_type": CAPABILITIES[number % 3],
    }
