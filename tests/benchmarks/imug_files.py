"""A small folder of official data files, and ways to damage it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imug_tts.benchmarks.imug.reading import read_data
from imug_tts.benchmarks.imug.writing import write_data
from imug_tts.dialogue import Image, Question, Sample, Text
from imug_tts.jsonl import DataError
from imug_tts.scoring.mcq import DYNAMIC

__all__ = [
    "BENCHMARK",
    "DYNAMICS",
    "GRID",
    "GRID_FILE",
    "IMAGES",
    "PERSON",
    "SAMPLES",
    "as_hub_snapshot",
    "edit",
    "keys_of",
    "problems_of",
    "records",
    "rewritten",
    "write_records",
    "write_small",
]

BENCHMARK = "benchmark.jsonl"
IMAGES = "image_references.jsonl"
DYNAMICS = "dynamic_references.jsonl"
GRID_FILE = "grid_gt/Geometric_Coloring__cubes_coloring__7.jsonl"

PERSON = Image.from_pixels(np.full((6, 8, 3), 200, np.uint8))
GRID = [["1", "r", "0"], ["0", "g", "0"], ["0", "0", "1"]]


def _static(number: int, answer: str) -> Question:
    parts = (Text("Who is this? A. Ada B. Bob"), PERSON)
    return Question(number=number, modality="text", parts=parts, key={"answer": answer, "ref_turns": []})


def _image(number: int, text: str, *references: tuple[int, str], **key: Any) -> Question:
    refs = [{"ref_turn": turn, "ref_type": kind} for turn, kind in references]
    points = {"evaluation_points": ["it is there", "nothing else is"], "references": refs}
    return Question(number=number, modality="image", parts=(Text(text),), key=points | key)


def _dynamic(number: int, answer: str, ref_turns: list[int]) -> Question:
    parts = (Text("What did you draw?"),)
    return Question(
        number=number, modality="text", parts=parts, key={"answer": answer, "ref_turns": ref_turns}
    )


HATS = Sample(
    sample_id="1",
    sample_class="static_spatial",
    domain="Apparel",
    task="hats",
    system_prompt="Be brief.",
    questions=(
        _static(1, "B"),
        _image(2, "Add a hat.", (1, "input")),
        _image(3, "Make it red.", (1, "input"), (2, "output")),
    ),
)
GROWTH = Sample(
    sample_id="1",
    sample_class="temporal_causal",
    domain="Botany",
    task="natural_growth",
    questions=(_image(1, "Draw a seed."), _dynamic(2, f"A{DYNAMIC}", [1])),
)
CUBES = Sample(
    sample_id="7",
    sample_class="static_spatial",
    domain="Geometric_Coloring",
    task="cubes_coloring",
    questions=(_image(1, "Draw cubes.", grid=GRID), _static(2, "A")),
)
SAMPLES = (HATS, GROWTH, CUBES)


def write_small(folder: Path) -> Path:
    """Write `SAMPLES` below `folder`; returns the data folder."""
    return write_data(folder, SAMPLES)


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]


def write_records(file: Path, values: list[Any]) -> None:
    file.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")


def edit(file: Path, line: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the object in one line of a file."""
    values = records(file)
    change(values[line - 1])
    write_records(file, values)


def rewritten(data: Path, change: Callable[[bytes], bytes]) -> Path:
    """The data folder with the bytes of its benchmark file changed."""
    file = data / BENCHMARK
    file.write_bytes(change(file.read_bytes()))
    return data


def problems_of(data: Path) -> tuple[str, ...]:
    """What is wrong with data that cannot be read."""
    with pytest.raises(DataError) as error:
        read_data(data)
    assert str(data) in str(error.value)
    return error.value.problems


def keys_of(samples: tuple[Sample, ...]) -> list[Any]:
    """The answer keys, which the equality of samples leaves out."""
    return [question.key for sample in samples for question in sample.questions]


def as_hub_snapshot(data: Path, cache: Path) -> Path:
    """The data in the form in which huggingface_hub keeps what it has downloaded."""
    repository, revision = cache / "datasets--ccccEsion--IMUG-Bench", "0" * 40
    for kind in ("blobs", "refs", f"snapshots/{revision}"):
        (repository / kind).mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    for number, file in enumerate(sorted(path for path in data.rglob("*") if path.is_file())):
        blob = repository / "blobs" / str(number)
        shutil.copy(file, blob)
        link = repository / "snapshots" / revision / "data" / file.relative_to(data)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return repository / "snapshots" / revision
