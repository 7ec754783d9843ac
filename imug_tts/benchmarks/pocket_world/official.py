"""Writes pocket-world samples in the file layout of the official IMUG-Bench release.

The official client, its scorers and any official model server then work on them unchanged. There a
vision-language model judges the pictures on the evaluation points; exact scores need `PocketWorld` itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from imug_tts.benchmarks.pocket_world.benchmark import PocketWorld
from imug_tts.dialogue import Question, Sample, Text
from imug_tts.scoring.mcq import DYNAMIC

__all__ = ["write_official"]

Record = Mapping[str, Any]


def write_official(benchmark: PocketWorld, folder: Path) -> Path:
    """Write the samples under `folder`/data and return that folder.

    It holds benchmark.jsonl, image_references.jsonl, dynamic_references.jsonl and images/, which stays empty
    because requests of the pocket world are text alone.

    Raises:
        FileExistsError: `folder` holds a benchmark already.
    """
    data = folder / "data"
    if (data / "benchmark.jsonl").exists():
        raise FileExistsError(f"{data} holds a benchmark already; name another folder or remove it first")
    (data / "images").mkdir(parents=True, exist_ok=True)
    samples = benchmark.samples()
    _write(data / "image_references.jsonl", filter(None, map(_image_references, samples)))
    _write(data / "dynamic_references.jsonl", chain.from_iterable(map(_dynamic_references, samples)))
    _write(data / "benchmark.jsonl", map(_record, samples))
    return data


def _write(path: Path, records: Iterable[Record]) -> None:
    lines = [json.dumps(record) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def _names(sample: Sample) -> dict[str, str]:
    return {"domain": sample.domain, "subdomain": sample.task, "sample_id": sample.sample_id}


def _record(sample: Sample) -> Record:
    return {**_names(sample), "tasks": [_task(question) for question in sample.questions]}


def _task(question: Question) -> Record:
    field = "answer" if question.modality == "text" else "evaluation_points"
    return {
        "turn": question.number,
        "modality": question.modality,
        "input": [{"text": part.text} for part in question.parts if isinstance(part, Text)],
        "output": {field: question.key[field]},
    }


def _image_references(sample: Sample) -> Record | None:
    """Each image turn after the first is judged beside the picture that it edits."""
    links = [
        {"turn_idx": question.number, "refs": [{"ref_turn": n, "ref_type": "output"} for n in refs]}
        for question in sample.questions
        if question.modality == "image" and (refs := question.key["ref_turns"])
    ]
    return {**_names(sample), "reference_links": links} if links else None


def _dynamic_references(sample: Sample) -> list[Record]:
    """A dynamic question is resolved on every picture since the model made its choice."""
    return [
        {**_names(sample), "turn_idx": question.number, "ref_turn_idxs": question.key["ref_turns"]}
        for question in sample.questions
        if question.key.get("answer") == DYNAMIC
    ]
