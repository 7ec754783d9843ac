"""Write a small data folder in the layout of DriveBench with made-up content, for trials without the data.

Every frame has one question of each graded kind, six pictures, corrupted pictures on request, and
descriptions of its objects. Scores on this folder mean nothing.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from imug_tts.benchmarks.drivebench.kinds import Setting
from imug_tts.benchmarks.drivebench.records import CAMERAS
from imug_tts.contracts import ConfigurationError
from imug_tts.files import write_atomically

__all__ = ["write_synthetic"]

_FRAMES_OF_A_SCENE: Final = 2
_COLORS: Final = ("black", "blue", "green", "grey", "red", "white")
_THINGS: Final = ("bus", "pedestrian", "sedan", "traffic cone", "truck")
_STATES: Final = ("Going ahead", "Turn left", "Turn right")
_WAYS: Final = ("going straight", "steering to the left", "steering to the right", "not moving")


def write_synthetic(
    folder: Path,
    num_frames: int,
    *,
    seed: int = 0,
    image_size: int = 64,
    settings: Sequence[Setting] = (),
    predictions: bool = False,
) -> Path:
    """Write data/ below `folder`; return the file of questions, which is written last.

    Args:
        num_frames: the number of frames. Each has five questions, and two frames make a scene.
        seed: the seed of the content.
        image_size: width of the pictures in pixels.
        settings: the corruptions to write pictures for, e.g. ("Fog",).
        predictions: whether to write a recorded answer (`pred`) to each record; about two thirds are right.

    Raises:
        ConfigurationError: a number is out of range.
        FileExistsError: `folder` has a file of questions already.
    """
    if num_frames < 1 or image_size < 8:
        raise ConfigurationError(
            f"{num_frames} frames of {image_size} pixels cannot be written; the least is 1 frame of 8 pixels"
        )
    questions = folder / "data" / "drivebench-test.json"
    if questions.exists():
        raise FileExistsError(f"{questions} exists already; name another folder or remove it first")
    frames = [_Frame(number, seed) for number in range(num_frames)]
    for frame in frames:
        frame.write_images(folder, image_size, settings)
    scenes: dict[str, Any] = {}
    for frame in frames:
        scenes.setdefault(frame.scene, {"key_frames": {}})["key_frames"][frame.token] = frame.objects()
    write_atomically(folder / "data" / "visual_description.json", json.dumps(scenes, indent=1).encode())
    records = [record for frame in frames for record in frame.records(predictions)]
    write_atomically(questions, json.dumps(records, indent=1).encode())
    return questions


class _Frame:
    """One frame: its pictures, its two objects and its questions."""

    def __init__(self, number: int, seed: int) -> None:
        self._random = random.Random(f"{seed} {number}")
        self.scene = f"scene{number // _FRAMES_OF_A_SCENE:04}"
        self.token = f"frame{number:05}"
        cameras = self._random.sample(CAMERAS, 2)
        places = [
            f"0.{self._random.randint(1000, 9999)},0.{self._random.randint(1000, 9999)}" for _ in cameras
        ]
        self._tags = [f"<c{n},{c},{p}>" for n, (c, p) in enumerate(zip(cameras, places, strict=True), 1)]
        self._looks = [self._look() for _ in cameras]

    def objects(self) -> Mapping[str, Any]:
        described = zip(self._tags, self._looks, strict=True)
        return {"key_object_infos": {tag: {"Visual_description": look} for tag, look in described}}

    def write_images(self, folder: Path, size: int, settings: Sequence[Setting]) -> None:
        for camera, path in self._paths().items():
            write_atomically(folder / path, self._picture(size, camera))
            for setting in settings:
                corrupted = path.replace("nuscenes/samples", f"corruption/{setting}")
                write_atomically(folder / corrupted, self._picture(size, f"{camera} {setting}"))

    def records(self, predictions: bool) -> Iterator[Mapping[str, Any]]:
        for question_type, tag, question, answer, wrong in self._questions():
            record = {
                "scene_token": self.scene,
                "frame_token": self.token,
                "question_type": question_type,
                "question": question,
                "answer": answer,
                "tag": [tag],
                "image_path": self._paths(),
            }
            yield record | (
                {"pred": answer if self._random.random() < 0.67 else wrong} if predictions else {}
            )

    def _questions(self) -> Iterator[tuple[str, int, str, str, str]]:
        """Yield type, tag, text, reference answer and a wrong answer of each question."""
        first, second = self._tags
        state, way = self._random.randrange(3), self._random.randrange(4)
        states, ways = _options(_STATES), _options([f"The ego vehicle is {way}" for way in _WAYS])
        select = "Please select the correct answer from the following options:"
        moving = f"What is the moving status of object {first}? {select} {states}"
        yield "perception", 0, moving, "ABC"[state], "ABC"[(state + 1) % 3]
        important = "What are the important objects in the current scene?"
        yield "perception", 2, important, f"There is a {self._looks[0]} and a {self._looks[1]}.", "None."
        noticed = f"What should the ego vehicle notice first, {first} or {second}?"
        yield "prediction", 3, noticed, f"The {self._looks[0]}, then slow down.", f"The {self._looks[1]}."
        acting = f"What actions could the ego vehicle take based on {first}? Why and how probable is it?"
        yield "planning", 1, acting, f"Slow down, because of the {self._looks[0]}. High.", "Speed up."
        behavior = f"Predict the behavior of the ego vehicle. {select} {ways}"
        yield "behavior", 0, behavior, "ABCD"[way], "ABCD"[(way + 1) % 4]

    def _paths(self) -> dict[str, str]:
        return {camera: f"data/nuscenes/samples/{camera}/{self.token}.jpg" for camera in CAMERAS}

    def _look(self) -> str:
        return f"{self._random.choice(_COLORS)} {self._random.choice(_THINGS)}"

    def _picture(self, size: int, of: str) -> bytes:
        """Return a JPEG of a rectangle on a plain background."""
        from PIL import Image as Pillow

        colors = random.Random(f"{self.token} {of}").randbytes(6)
        picture = Pillow.new("RGB", (size, size * 9 // 16), tuple(colors[:3]))
        picture.paste(tuple(colors[3:]), (size // 4, size // 8, size // 2, size // 4))
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG")
        return buffer.getvalue()


def _options(texts: Sequence[str]) -> str:
    return " ".join(f"{letter}. {text}." for letter, text in zip("ABCD", texts, strict=False))
