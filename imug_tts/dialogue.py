"""The data types of a multi-turn interleaved image-text dialogue.

All types are immutable and independent of models, strategies and files.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image as Pillow

__all__ = [
    "MAX_PIXELS",
    "Image",
    "Message",
    "Modality",
    "Part",
    "Point",
    "Question",
    "Response",
    "Role",
    "Sample",
    "Text",
    "Turn",
    "Verdict",
    "VerdictKind",
]

Modality = Literal["text", "image"]
VerdictKind = Literal["probability", "reward", "rank"]
"""The kind of a verdict's score: the probability in [0, 1] that the answer is right; a reward, of which
only the order counts; or a rank, the share of wins among the candidates that were shown."""
Role = Literal["system", "user", "assistant"]

MAX_PIXELS: Final = 89_000_000
"""Most pixels of an image that is decoded: a small file can declare a size that exhausts the memory."""


@dataclass(frozen=True)
class Text:
    """A text part of a message."""

    text: str

    modality: Modality = field(default="text", init=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text}


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """An encoded image (PNG or JPEG), identified by the SHA-256 of its bytes.

    The bytes are in memory, or in a file that is read on demand, so that long histories need little memory.
    Use `Image(sha256, source)` if the SHA-256 is known; `Image(None, file)` computes it on first use.
    """

    known_sha256: InitVar[str | None]
    source: bytes | Path

    modality: Modality = field(default="image", init=False)

    def __post_init__(self, known_sha256: str | None) -> None:
        if known_sha256 is not None:
            self.__dict__["sha256"] = known_sha256

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.read()).hexdigest()

    @cached_property
    def is_whole(self) -> bool:
        """Whether the bytes are known to be a complete image; False if they have not been decoded."""
        return False

    def __eq__(self, other: object) -> bool:
        return self.sha256 == other.sha256 if isinstance(other, Image) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Image({self.__dict__.get('sha256', self.source)})"

    @classmethod
    def from_bytes(cls, encoded: bytes, *, is_whole: bool = False) -> Image:
        """Return an image of encoded bytes; set `is_whole` if they were decoded successfully."""
        image = cls(hashlib.sha256(encoded).hexdigest(), encoded)
        image.__dict__["is_whole"] = is_whole
        return image

    @classmethod
    def from_pixels(cls, pixels: npt.NDArray[np.uint8]) -> Image:
        """Return the PNG of pixels of shape (height, width, 3), values 0 to 255."""
        from PIL import Image as Pillow

        buffer = io.BytesIO()
        Pillow.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
        return cls.from_bytes(buffer.getvalue(), is_whole=True)

    def read(self) -> bytes:
        """Return the encoded bytes."""
        return self.source if isinstance(self.source, bytes) else _content_of(self.source)

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return RGB pixels of shape (height, width, 3), values 0 to 255, as an image viewer shows them.

        Transparent pixels are shown on white, 16 bits are scaled to 8, and the EXIF orientation is applied.

        Raises:
            OSError: the bytes are no complete image, or the file cannot be read.
            ValueError: the image has more than `MAX_PIXELS` pixels.
        """
        import numpy as np
        from PIL import Image as Pillow

        try:
            with Pillow.open(io.BytesIO(self.read())) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise ValueError(
                        f"{opened.width} x {opened.height} pixels; at most {MAX_PIXELS} are decoded"
                    )
                return np.asarray(_as_shown(opened))
        except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
            raise ValueError(str(error)) from error
        except SyntaxError as error:  # raised by Pillow for a broken chunk of a PNG
            raise OSError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        return {"image": self.sha256}


def _as_shown(image: Pillow.Image) -> Pillow.Image:
    """Return the image in RGB, as an image viewer shows it."""
    import numpy as np
    from PIL import ExifTags, ImageOps
    from PIL import Image as Pillow

    with suppress(ValueError, TypeError, KeyError, struct.error):  # a damaged tag is ignored
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey; `convert` would cut values off at 255
        levels = np.asarray(image)
        shown = np.where(levels == image.info.get("transparency"), 255, levels / 257)
        return Pillow.fromarray(shown.astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    page = Pillow.new("RGBA", image.size, "white")
    page.alpha_composite(image.convert("RGBA"))
    return page.convert("RGB")


Part = Text | Image


@dataclass(frozen=True)
class Message:
    """One message of a history: its role, and ordered text and image parts."""

    role: Role
    parts: tuple[Part, ...]

    def to_json(self) -> list[Any]:
        return [self.role, [part.to_json() for part in self.parts]]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of role and parts; of an image, its SHA-256 counts."""
        text = "\x1e".join([self.role, *(f"{p.modality}\x1f{_content(p)}" for p in self.parts)])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _content_of(file: Path) -> bytes:
    """Return the bytes of a file, with a third of the system calls of `Path.read_bytes`.

    Other threads can take the interpreter's lock at each of them, and many threads read images.
    """
    descriptor = os.open(file, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        read = os.read(descriptor, size)
    finally:
        os.close(descriptor)
    return read if len(read) == size else file.read_bytes()


def _content(part: Part) -> str:
    return part.text if isinstance(part, Text) else part.sha256


@dataclass(frozen=True)
class Question:
    """One turn of a benchmark: the user's message, and the modality of the answer.

    `key` is the benchmark's answer key (reference letters, evaluation points, operations); strategies never
    see it.
    """

    number: int
    """1-based turn number."""
    modality: Modality
    parts: tuple[Part, ...]
    key: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Sample:
    """One dialogue of a benchmark. `sample_class` is e.g. "static_spatial"."""

    sample_id: str
    sample_class: str
    domain: str
    task: str
    questions: tuple[Question, ...]
    system_prompt: str | None = None

    @property
    def name(self) -> str:
        """The sample's unique name within its benchmark; `sample_id` alone may occur in several tasks."""
        return f"{self.domain}/{self.task}/{self.sample_id}"


@dataclass(frozen=True)
class Turn:
    """A turn to answer: the last user message of `history`, in `modality`.

    `notes` are instructions that a strategy adds for this turn only (a plan, feedback). They are appended to
    the user's message when a model is called, and never enter the dialogue's history.
    """

    sample: str
    number: int
    modality: Modality
    history: tuple[Message, ...]
    notes: tuple[str, ...] = ()

    def note(self, text: str) -> Turn:
        return replace(self, notes=(*self.notes, text))

    def prompt(self, *more: str) -> tuple[Message, ...]:
        """Return the history for a model call: notes and `more` are appended to the last user message."""
        extra = tuple(Text(note) for note in (*self.notes, *more))
        last = self.history[-1]
        return (*self.history[:-1], Message(last.role, last.parts + extra)) if extra else self.history


@dataclass(frozen=True)
class Point:
    """One point of a checklist with the judge's answer. `probability` in [0, 1] that the point is met."""

    text: str
    probability: float
    explanation: str = ""
    """The judge's explanation of what is wrong."""

    @property
    def feedback(self) -> str:
        """The feedback for the next attempt if the point failed."""
        return f"{self.text} {self.explanation}".strip()


@dataclass(frozen=True)
class Verdict:
    """A judge's verdict on one candidate.

    `status` is "ok" or "unparsable": an unparsable verdict leaves the candidate unranked, and never counts as
    a score of 0 or a refusal. `score` is of kind `kind`, and None unless the status is ok.
    """

    status: Literal["ok", "unparsable"]
    judge: str
    score: float | None = None
    kind: VerdictKind = "probability"
    points: tuple[Point, ...] = ()
    """The points that could be parsed, if the judge has a checklist."""
    detail: str = ""

    def failed(self, threshold: float = 0.5) -> tuple[Point, ...]:
        """Return the points that are met with a probability below `threshold`."""
        return tuple(point for point in self.points if point.probability < threshold)

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "judge": self.judge,
            "kind": self.kind,
            "score": self.score,
            "failed": [point.feedback for point in self.failed()],
            "detail": self.detail,
        }


@dataclass(frozen=True)
class Response:
    """The answer of a strategy, with the tree of all candidates that it considered.

    `output` is None if the model refused. `candidates` are ordered by index, never by completion, and
    `chosen` is an index into them.
    """

    strategy: str
    output: Part | None
    finish: str = "stop"
    reason: str | None = None
    """The reason that the model's provider gives for a refusal."""
    source: str | None = None
    """The provider's identifier of the model version and the response."""
    plan: str | None = None
    thought: str | None = None
    verdict: Verdict | None = None
    candidates: tuple[Response, ...] = ()
    chosen: int | None = None
    note: str = ""
    keep_plan: bool = False

    def walk(self) -> Iterator[Response]:
        """Yield the response and all candidates nested in it, parents first."""
        yield self
        for candidate in self.candidates:
            yield from candidate.walk()

    @property
    def history_parts(self) -> tuple[Part, ...]:
        """The parts of the response that enter the dialogue's history."""
        output = () if self.output is None else (self.output,)
        return (Text(self.plan), *output) if self.keep_plan and self.plan else output
