"""The outputs of another run, to be shown in swapped histories."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Part, Text
from imug_tts.records import RecordError, image_path, read_manifest, read_turns, sample_name

__all__ = ["Transcript", "no_run", "stored_part"]


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """The answers of one run, by sample name and turn number. Unanswered turns are absent."""

    run: str
    benchmark: str | None
    """Identity of the benchmark; None if unknown."""
    answers: Mapping[tuple[str, int], Part]

    @classmethod
    def of_run(cls, folder: Path) -> Transcript:
        """Return the transcript of the run in a folder.

        Raises:
            ConfigurationError: `folder` holds no run, or its records are damaged.
        """
        try:
            manifest = read_manifest(folder)
            return cls(run=manifest.run, benchmark=manifest.benchmark, answers=dict(_answers(folder)))
        except RecordError as error:
            raise no_run(folder, error) from error

    @cached_property
    def identity(self) -> str:
        """The run's name and a hash of its answers."""
        digest = hashlib.sha256()
        for key, part in sorted(self.answers.items()):
            digest.update(json.dumps([key, part.to_json()]).encode())
        return f"{self.run}:{digest.hexdigest()[:16]}"


def no_run(folder: Path, error: RecordError) -> ConfigurationError:
    """Return the error for a folder that cannot be read as the folder of a run."""
    return ConfigurationError(
        f"{folder} cannot be read as the folder of a run ({error}); name a folder that experiments/run.py "
        "wrote, e.g. runs/STUDY/RUN"
    )


def _answers(folder: Path) -> Iterator[tuple[tuple[str, int], Part]]:
    for _, record in read_turns(folder):
        output = None if record["response"] is None else record["response"]["output"]
        if output is not None:
            yield (sample_name(record), record["turn"]), stored_part(output, folder)


def stored_part(stored: Mapping[str, Any], folder: Path) -> Part:
    """Return the output that a record of the run in `folder` stores as JSON."""
    if "text" in stored:
        return Text(stored["text"])
    return Image(stored["image"], image_path(folder, stored["image"]))
