"""What a model is shown of a record: its question, and the images of the cameras that the question names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from imug_tts.benchmarks.drivebench.kinds import Setting
from imug_tts.benchmarks.drivebench.official import OfficialWords
from imug_tts.benchmarks.drivebench.records import CAMERAS, DriveRecord
from imug_tts.contracts import ConfigurationError

__all__ = ["image_file", "images_of", "object_of", "words_of"]

_OBJECT: Final = re.compile(r"<([^<>,]+),([^<>,]+),[^<>]+>")
"""An object in a question, e.g. <c1,CAM_FRONT,0.51,0.42>."""
_CLEAN: Final = "nuscenes/samples"
_ALL_CAMERAS: Final = f"up to six camera images in the sequence [{', '.join(CAMERAS)}]"
_INSTRUCTIONS: Final = (
    "You assist a driver. You see {cameras} of the ego vehicle at one moment. A point of an image is given "
    "as (x, y), each from 0 to 1, with (0, 0) at the top left.\n"
    "If the question lists options, answer with the letter of one option and explain the choice. If it asks "
    "for yes or no, answer with one of them and explain. If it asks about objects, say which camera shows "
    "each. Speak of what matters for driving safely: what objects are, how they look, what they do, and how "
    "they move."
)


def images_of(record: DriveRecord) -> dict[str, str]:
    """Return the paths of the images that the model is shown, by camera, in the order of `CAMERAS`.

    They are the images of the cameras that the question names; all images if it names no camera.

    Raises:
        ValueError: the record has no image of a named camera, or no image at all.
    """
    there: dict[str, str] = dict((record.image_path or {}).items())
    named = {camera for _, camera in _OBJECT.findall(record.question)}
    missing = sorted(named - there.keys())
    if missing:
        raise ValueError(f"has no image of {', '.join(missing)}, which the question names")
    if not there:
        raise ValueError("is missing; the record has no images to show to the model")
    return {camera: path for camera, path in sorted(there.items(), key=_place) if camera in (named or there)}


def _place(item: tuple[str, str]) -> int:
    return CAMERAS.index(item[0])


def image_file(path: str, setting: Setting) -> str:
    """Return the path, below the root, of an image in a setting.

    Args:
        path: the path of the clean image.

    Raises:
        ValueError: the setting is a corruption and the path is not that of a clean image.
    """
    if setting in ("clean", "NoImage"):
        return path
    if _CLEAN not in path:
        raise ValueError(f"is {path!r}; it must contain {_CLEAN}, which corruption/{setting} replaces")
    return path.replace(_CLEAN, f"corruption/{setting}")


def object_of(question: str) -> tuple[str, str] | None:
    """Return the number and camera of the first object that a question names, e.g. ("c1", "CAM_FRONT").

    None if it names no object.
    """
    found = _OBJECT.search(question)
    return (found[1], found[2]) if found else None


def words_of(question: str, cameras: Sequence[str], official: OfficialWords | None) -> str:
    """Return the text of the model's prompt, which follows the images: instructions and question.

    Raises:
        ConfigurationError: the official instructions do not name the cameras as expected.
    """
    listed = ", ".join(cameras)
    shown = (
        f"a single camera image: [{listed}]"
        if len(cameras) == 1
        else f"{len(cameras)} camera images in the sequence [{listed}]"
    )
    if official is None:
        return f"{_INSTRUCTIONS.format(cameras=shown)}\n\n{question}"
    if _ALL_CAMERAS not in official.instructions:
        raise ConfigurationError(
            f"official: prompt.txt must contain {_ALL_CAMERAS!r}, which is replaced by the cameras shown"
        )
    return official.instructions.replace(_ALL_CAMERAS, shown) + question
