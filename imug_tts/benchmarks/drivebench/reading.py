"""Read the files of DriveBench into samples; report all errors in the files at once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from imug_tts.benchmarks.drivebench.choices import chosen, options_of
from imug_tts.benchmarks.drivebench.kinds import MULTIPLE_CHOICE, Kind, Setting, kind_of
from imug_tts.benchmarks.drivebench.official import OfficialWords
from imug_tts.benchmarks.drivebench.questions import image_file, images_of, object_of, words_of
from imug_tts.benchmarks.drivebench.records import DriveRecord, Placed, SceneRecord, read_records, read_scenes
from imug_tts.benchmarks.drivebench.rubrics import RUBRICS
from imug_tts.dialogue import Image, Part, Question, Sample, Text
from imug_tts.images import HEAD_BYTES, why_not_sent
from imug_tts.jsonl import DataError

__all__ = ["Data", "Files", "read_data"]

T = TypeVar("T")

_NO_OBJECT = "The question names no object, so there is no description."
_BLACK_SIDE = 224


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files to read, and the image setting and prompts to use."""

    root: Path
    questions: Path
    descriptions: Path | None
    """The file of visual descriptions; None if the judge gets none."""
    setting: Setting
    show_images: bool
    official: OfficialWords | None


@dataclass(frozen=True, kw_only=True)
class Data:
    """The samples of all records, one question each, with recorded answers and hashes of the files."""

    samples: tuple[Sample, ...]
    predictions: Mapping[str, str]
    """The recorded answers (`pred`), by the name of the sample."""
    files_sha256: str

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of records, descriptions and images. Computing it reads every image.

        Raises:
            DataError: images cannot be read; the message names them.
        """
        parts = (part for sample in self.samples for question in sample.questions for part in question.parts)
        images = list({str(part.source): part for part in parts if isinstance(part, Image)}.values())
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(_content, images))
        problems = [
            f"{image.source!s}: {content}"
            for image, content in zip(images, found, strict=True)
            if isinstance(content, OSError)
        ]
        if problems:
            raise DataError("the images", problems)
        contents = [content for content in found if isinstance(content, str)]
        return hashlib.sha256("\n".join([self.files_sha256, *contents]).encode()).hexdigest()


@dataclass
class _Reader:
    files: Files
    scenes: Mapping[str, SceneRecord]
    problems: list[str] = field(default_factory=list)
    images: dict[str, Image | str] = field(default_factory=dict)
    names: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def sample(self, placed: Placed) -> Sample | None:
        """Return a record as a sample of one question; None, with entries in `problems`, if it is invalid."""
        place, record = placed
        before = len(self.problems)
        kind = self._checked(f"{place}, tag", lambda: kind_of(record.question_type, record.tag))
        if kind is None:
            return None
        parts = tuple(self._parts(place, record))
        key = self._key(place, record, kind)
        if len(self.problems) > before:
            return None
        return Sample(
            sample_id=self._name(record),
            sample_class=kind,
            domain=record.scene_token,
            task=record.frame_token,
            questions=(Question(number=1, modality="text", parts=parts, key=key),),
        )

    def _name(self, record: DriveRecord) -> str:
        """Return the name of a question within its frame. It depends on content only, not on file or
        order.
        """
        content = "\x1e".join([record.question_type, record.question, record.answer])
        name = hashlib.sha256(content.encode()).hexdigest()[:12]
        self.names[record.scene_token, record.frame_token, name] += 1
        number = self.names[record.scene_token, record.frame_token, name]
        return name if number == 1 else f"{name}-{number}"

    def _parts(self, place: str, record: DriveRecord) -> Iterator[Part]:
        """Yield the images, then the text of the prompt."""
        if not self.files.show_images:
            yield Text(record.question)
            return
        shown = self._checked(f"{place}, image_path", lambda: images_of(record))
        if shown is None:
            return
        for camera, path in shown.items():
            image = self._image(path)
            if isinstance(image, str):
                self.problems.append(f"{place}, image_path.{camera}: {image}")
            else:
                yield image
        yield Text(words_of(record.question, list(shown), self.files.official))

    def _key(self, place: str, record: DriveRecord, kind: Kind) -> dict[str, object]:
        options = options_of(record.question) if kind in MULTIPLE_CHOICE else {}
        if kind in MULTIPLE_CHOICE and not chosen(record.answer, options):
            wanted = ", ".join(options or "ABCD")
            self.problems.append(f"{place}, answer: is {record.answer[:60]!r}; it must name one of {wanted}")
        description = self._description(place, record) if RUBRICS[kind].shows_object else ""
        return {
            "kind": kind,
            "question": record.question,
            "answer": record.answer,
            "options": options,
            "description": description,
        }

    def _description(self, place: str, record: DriveRecord) -> str:
        """Return the judge's description of the object that the question names."""
        official = self.files.official
        named = object_of(record.question)
        if named is None or self.files.descriptions is None:
            return official.no_description if official else _NO_OBJECT
        scene = self.scenes.get(record.scene_token)
        frame = scene.key_frames.get(record.frame_token) if scene else None
        for tag, found in frame.key_object_infos.items() if frame else ():
            if object_of(tag) == named:
                return found.visual_description.lower()
        self.problems.append(
            f"{place}, question: names <{','.join(named)}>, but {self.files.descriptions.name} has no such "
            f"object in frame {record.frame_token} of scene {record.scene_token}"
        )
        return ""

    def _image(self, path: str) -> Image | str:
        """Return the image of a path, or why it cannot be used; each path is checked once."""
        if path not in self.images:
            self.images[path] = self._look_for(path)
        return self.images[path]

    def _look_for(self, path: str) -> Image | str:
        if self.files.setting == "NoImage":
            return _black()
        try:
            file = self.files.root / image_file(path, self.files.setting)
            with file.open("rb", buffering=0) as opened:
                return why_not_sent(opened.read(HEAD_BYTES)) or Image(None, file)
        except OSError as error:
            return f"{error.filename} cannot be read ({error.strerror})"
        except ValueError as error:
            return str(error)

    def _checked(self, key: str, read: Callable[[], T]) -> T | None:
        """Return what `read` returns. If it raises ValueError, append the error to `problems`; return
        None.
        """
        try:
            return read()
        except ValueError as error:
            self.problems.append(f"{key}: {error}")
            return None


def read_data(files: Files) -> Data:
    """Read and check all records. Of each image, only existence and the PNG or JPEG header are checked.

    Raises:
        ConfigurationError: a file cannot be read.
        DataError: a file is invalid; the message lists all problems.
    """
    placed = read_records(files.questions)
    scenes = read_scenes(files.descriptions) if files.descriptions else {}
    reader = _Reader(files, scenes)
    samples = [reader.sample(each) for each in placed]
    if reader.problems:
        raise DataError(files.questions, reader.problems)
    descriptions = files.descriptions.read_bytes() if files.descriptions else b""
    whole = tuple(sample for sample in samples if sample is not None)
    return Data(
        samples=whole,
        predictions={
            sample.name: each.record.pred
            for sample, each in zip(whole, placed, strict=True)
            if each.record.pred is not None
        },
        files_sha256=_sha256_of([_asked(placed), descriptions]),
    )


def _asked(placed: Sequence[Placed]) -> bytes:
    """Return all records without their recorded answers, so that files of answers share one identity."""
    return "\n".join(each.record.model_dump_json(exclude={"pred"}) for each in placed).encode()


def _sha256_of(contents: Sequence[bytes]) -> str:
    hashed = hashlib.sha256()
    for content in contents:
        hashed.update(f"{len(content)}\n".encode() + content)
    return hashed.hexdigest()


def _content(image: Image) -> str | OSError:
    try:
        return image.sha256
    except OSError as error:
        return error


@cache
def _black() -> Image:
    """Return the black image that the official code shows for the setting NoImage."""
    return Image.from_pixels(np.zeros((_BLACK_SIDE, _BLACK_SIDE, 3), np.uint8))
