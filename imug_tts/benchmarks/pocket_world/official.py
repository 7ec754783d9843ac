"""Writes pocket-world samples in the file layout of the official IMUG-Bench release.

The official client, its scorers and any official model server then work on them unchanged. There, a
vision-language model judges the pictures on the evaluation points; exact scores need `PocketWorld` itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imug_tts.benchmarks.imug.writing import write_data
from imug_tts.benchmarks.pocket_world.benchmark import PocketWorld
from imug_tts.dialogue import Question, Sample

__all__ = ["write_official"]


def write_official(benchmark: PocketWorld, folder: Path) -> Path:
    """Write the samples into `folder`/data; returns that folder.

    It contains benchmark.jsonl, image_references.jsonl, dynamic_references.jsonl and images/, which is empty
    because requests of the pocket world are text only.

    Raises:
        FileExistsError: `folder` already contains a benchmark.
    """
    return write_data(folder, map(_official, benchmark.samples()))


def _official(sample: Sample) -> Sample:
    questions = (replace(question, key=_key(question)) for question in sample.questions)
    return replace(sample, questions=tuple(questions))


def _key(question: Question) -> Mapping[str, Any]:
    """The answer key in official form. Each image turn after the first is judged with the picture that it
    edits.

    A dynamic question is resolved on every picture since the model made its choice.
    """
    key = question.key
    if question.modality == "text":
        return key
    references = [{"ref_turn": number, "ref_type": "output"} for number in key["ref_turns"]]
    return {"evaluation_points": key["evaluation_points"], "references": references}
