"""Writes samples as a folder of official data files, which both the official code and `Imug` can read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imug_tts.benchmarks.imug.keys import grid_file
from imug_tts.benchmarks.imug.records import SampleName
from imug_tts.dialogue import Image, Question, Sample, Text
from imug_tts.files import plain_name, write_atomically

__all__ = ["write_data"]

Record = Mapping[str, Any]


def write_data(folder: Path, samples: Iterable[Sample]) -> Path:
    """Write the samples into `folder`/data; returns that folder.

    The keys of questions have the format of `Imug`: `answer` and `ref_turns` for a text turn;
    `evaluation_points`, `references` and optionally `grid` for an image turn. benchmark.jsonl is written
    last, so a folder that has it is complete.

    Raises:
        FileExistsError: `folder` already contains a benchmark.
        ConfigurationError: a sample's name cannot be a file name.
    """
    data = folder / "data"
    if (data / "benchmark.jsonl").exists():
        raise FileExistsError(f"{data} holds a benchmark already; name another folder or remove it first")
    (data / "images").mkdir(parents=True, exist_ok=True)
    records, references, dynamic = [], [], []
    for sample in samples:
        records.append(_record(data, sample))
        references.extend(_references(sample))
        dynamic.extend(_dynamic(sample))
        _write_grid(data, sample)
    _write(data / "image_references.jsonl", references)
    _write(data / "dynamic_references.jsonl", dynamic)
    _write(data / "benchmark.jsonl", records)
    return data


def _write(path: Path, records: Sequence[Record]) -> None:
    write_atomically(path, "".join(json.dumps(record) + "\n" for record in records).encode())


def _names(sample: Sample) -> dict[str, str]:
    return {"domain": sample.domain, "subdomain": sample.task, "sample_id": sample.sample_id}


def _record(data: Path, sample: Sample) -> Record:
    images = _write_images(data, sample)
    prompt = {} if sample.system_prompt is None else {"system_prompt": sample.system_prompt}
    return {**_names(sample), **prompt, "tasks": [_task(question, images) for question in sample.questions]}


def _task(question: Question, images: Iterator[str]) -> Record:
    scored_by = "answer" if question.modality == "text" else "evaluation_points"
    return {
        "turn": question.number,
        "modality": question.modality,
        "input": [
            {"text": part.text} if isinstance(part, Text) else {"image": next(images)}
            for part in question.parts
        ],
        "output": {scored_by: question.key[scored_by]},
    }


def _write_images(data: Path, sample: Sample) -> Iterator[str]:
    """Write the images of the sample's inputs; yields their names in order."""
    parts = [part for question in sample.questions for part in question.parts]
    images = [part.read() for part in parts if isinstance(part, Image)]
    stem = "__".join(plain_name(name) for name in _names(sample).values())
    for number, encoded in enumerate(images):
        ending = "png" if encoded.startswith(b"\x89PNG") else "jpg"
        name = f"{stem}__img_{number}.{ending}"
        write_atomically(data / "images" / name, encoded)
        yield name


def _references(sample: Sample) -> list[Record]:
    """The record of image references; none if no image turn has references."""
    links = [
        {"turn_idx": question.number, "refs": question.key["references"]}
        for question in sample.questions
        if question.key.get("references")
    ]
    return [{**_names(sample), "reference_links": links}] if links else []


def _dynamic(sample: Sample) -> list[Record]:
    return [
        {**_names(sample), "turn_idx": question.number, "ref_turn_idxs": question.key["ref_turns"]}
        for question in sample.questions
        if question.key.get("ref_turns")
    ]


def _write_grid(data: Path, sample: Sample) -> None:
    truths = [
        {"turn": question.number, "grid": question.key["grid"]}
        for question in sample.questions
        if "grid" in question.key
    ]
    if truths:
        _write(data / grid_file(SampleName(sample.domain, sample.task, sample.sample_id)), truths)
