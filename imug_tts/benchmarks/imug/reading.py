"""Reads a folder of official data files into samples, or reports everything that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imug_tts.benchmarks.imug.datafiles import DataFiles, Place
from imug_tts.benchmarks.imug.domains import class_of
from imug_tts.benchmarks.imug.keys import AnswerKeys
from imug_tts.benchmarks.imug.records import SampleRecord, Task
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Part, Question, Sample, Text
from imug_tts.jsonl import DataError

__all__ = ["Data", "DataError", "find_data", "read_data"]


@dataclass(frozen=True)
class Data:
    """The samples of a data folder, and the SHA-256 of its JSONL files."""

    folder: Path
    samples: tuple[Sample, ...]
    sha256: str

    @cached_property
    def images_sha256(self) -> str:
        """SHA-256 over names and contents of all images in the samples; empty if they have none.

        Reads every image file. The images cache their own SHA-256.

        Raises:
            DataError: files cannot be read; names them.
        """
        shown = sorted(self._images().items())
        with ThreadPoolExecutor() as pool:
            contents = list(pool.map(_sha256_of, (image for _, image in shown)))
        problems = [
            f"images/{name}: it cannot be read ({content})"
            for (name, _), content in zip(shown, contents, strict=True)
            if isinstance(content, OSError)
        ]
        if problems:
            raise DataError(self.folder, problems)
        lines = "".join(f"{content} {name}\n" for (name, _), content in zip(shown, contents, strict=True))
        return hashlib.sha256(lines.encode()).hexdigest() if shown else ""

    def _images(self) -> dict[str, Image]:
        """The images of all samples by name."""
        folder = self.folder / "images"
        parts = (part for sample in self.samples for question in sample.questions for part in question.parts)
        images = (part for part in parts if isinstance(part, Image))
        return {Path(str(image.source)).relative_to(folder).as_posix(): image for image in images}


def _sha256_of(image: Image) -> str | OSError:
    try:
        return image.sha256
    except OSError as error:
        return error


def find_data(root: Path) -> Path:
    """The folder with benchmark.jsonl: `root`/data, or `root` itself.

    Raises:
        ConfigurationError: neither contains it.
    """
    for folder in (root / "data", root):
        if (folder / "benchmark.jsonl").is_file():
            return folder
    raise ConfigurationError(
        f"there is no benchmark.jsonl in {root} or {root / 'data'}; name the folder of the IMUG-Bench data "
        "with benchmark.root=DIR (or write a synthetic one: python experiments/write_imug.py --out DIR)"
    )


def read_data(folder: Path) -> Data:
    """Read and check every file. Images are only checked for existence and for a PNG or JPEG header.

    Raises:
        DataError: a file is missing or invalid.
    """
    files = DataFiles(folder)
    records = files.read_by_sample("benchmark.jsonl", SampleRecord)
    for place, record in records.values():
        _check_turns(files, place, record)
    known = {name: record for name, (_, record) in records.items()}
    keys = AnswerKeys.read(files, known, complete=not files.problems)
    samples = tuple(_sample(files, place, record, keys) for place, record in records.values())
    if not samples and not files.problems:
        files.problems.append("benchmark.jsonl: it has no records")
    if files.problems:
        raise DataError(folder, files.problems)
    return Data(folder, samples, files.sha256.hexdigest())


def _check_turns(files: DataFiles, place: Place, record: SampleRecord) -> None:
    for index, task in enumerate(record.tasks):
        if task.turn != index + 1:
            complaint = f"is {task.turn}; turns are numbered 1, 2, 3, ..., so it must be {index + 1}"
            files.say(place, f"tasks[{index}].turn", complaint)


def _sample(files: DataFiles, place: Place, record: SampleRecord, keys: AnswerKeys) -> Sample:
    return Sample(
        sample_id=record.sample_id,
        sample_class=class_of(record.domain),
        domain=record.domain,
        task=record.subdomain,
        system_prompt=record.system_prompt or None,
        questions=tuple(
            Question(
                number=task.turn,
                modality=task.modality,
                parts=tuple(_parts(files, place, index, task)),
                key=keys.of(record.name, task),
            )
            for index, task in enumerate(record.tasks)
        ),
    )


def _parts(files: DataFiles, place: Place, index: int, task: Task) -> Iterator[Part]:
    for number, part in enumerate(task.input):
        for kind, value in part.items():
            if kind == "text":
                yield Text(value)
                continue
            image = files.image(value)
            if isinstance(image, str):
                files.say(place, f"tasks[{index}].input[{number}].image", f"is {value!r}; {image}")
            else:
                yield image
