"""The vocabulary of a multi-turn interleaved image-text dialogue.

Everything here is immutable and knows nothing of models, strategies or files.
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
"""What a verdict's score is: the probability that the answer is right, in [0, 1]; a reward on a scale of its
own, of which only the order counts; a share of wins among the candidates shown, which says nothing of one."""
Role = Literal["system", "user", "assistant"]

MAX_PIXELS: Final = 89_000_000
"""The largest image that is decoded: a small file can claim a size that fills the memory."""


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

    The bytes live in memory or in a file that is read on demand, so that a history of large
    images costs no memory while it waits. `Image(sha256, source)` where the SHA-256 is known;
    `Image(None, file)` reads the file for it when somebody first asks.
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
        """Whether the bytes are known to be a whole image; False while nobody has looked."""
        return False

    def __eq__(self, other: object) -> bool:
        return self.sha256 == other.sha256 if isinstance(other, Image) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Image({self.__dict__.get('sha256', self.source)})"

    @classmethod
    def from_bytes(cls, encoded: bytes, *, is_whole: bool = False) -> Image:
        """An image of encoded bytes; `is_whole` where these were decoded and found in order."""
        image = cls(hashlib.sha256(encoded).hexdigest(), encoded)
        image.__dict__["is_whole"] = is_whole
        return image

    @classmethod
    def from_pixels(cls, pixels: npt.NDArray[np.uint8]) -> Image:
        """Encode pixels of shape (height, width, 3), values 0 to 255, as PNG."""
        from PIL import Image as Pillow

        buffer = io.BytesIO()
        Pillow.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
        return cls.from_bytes(buffer.getvalue(), is_whole=True)

    def read(self) -> bytes:
        """Return the encoded bytes."""
        return self.source if isinstance(self.source, bytes) else _content_of(self.source)

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Decode to RGB pixels of shape (height, width, 3), values 0 to 255, as a viewer shows them.

        What is transparent shows a white page, 16 bits are scaled to 8, and a photograph is turned by its
        EXIF tag.

        Raises:
            OSError: the bytes are no image, or not all of one; or the file cannot be read.
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
        except SyntaxError as error:  # what Pillow makes of a broken chunk of a PNG
            raise OSError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        return {"image": self.sha256}


def _as_shown(image: Pillow.Image) -> Pillow.Image:
    """The image in RGB, as a viewer shows it."""
    import numpy as np
    from PIL import ExifTags, ImageOps
    from PIL import Image as Pillow

    with suppress(ValueError, TypeError, KeyError, struct.error):  # a damaged tag turns nothing
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
    """One message of a history: who speaks, and ordered text and image parts."""

    role: Role
    parts: tuple[Part, ...]

    def to_json(self) -> list[Any]:
        return [self.role, [part.to_json() for part in self.parts]]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over role and parts; images count by their content."""
        text = "\x1e".join([self.role, *(f"{p.modality}\x1f{_content(p)}" for p in self.parts)])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _content_of(file: Path) -> bytes:
    """The bytes of a file, with a third of the system calls of `Path.read_bytes`.

    At each of them another thread takes the interpreter's lock, and images are read by many threads.
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
    """One turn as a benchmark poses it: what the user says and which modality must answer.

    `key` is the benchmark's own answer key (reference letters, evaluation points, operations);
    strategies never see it.
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
        """The sample's name within its benchmark; ids repeat across tasks."""
        return f"{self.domain}/{self.task}/{self.sample_id}"


@dataclass(frozen=True)
class Turn:
    """What a strategy is asked: answer the last user message of `history` in `modality`.

    `notes` are instructions that a strategy adds for this turn alone (a plan, feedback). They
    stand behind the user's words when the model is asked, and never enter the dialogue's history.
    """

    sample: str
    number: int
    modality: Modality
    history: tuple[Message, ...]
    notes: tuple[str, ...] = ()

    def note(self, text: str) -> Turn:
        return replace(self, notes=(*self.notes, text))

    def prompt(self, *more: str) -> tuple[Message, ...]:
        """The history as the model is asked: notes and `more` appended to the last user message."""
        extra = tuple(Text(note) for note in (*self.notes, *more))
        last = self.history[-1]
        return (*self.history[:-1], Message(last.role, last.parts + extra)) if extra else self.history


@dataclass(frozen=True)
class Point:
    """One point of a checklist, as a judge answered it. `probability` that the point is met, in [0, 1]."""

    text: str
    probability: float
    explanation: str = ""
    """What the judge found wrong."""

    @property
    def feedback(self) -> str:
        """What the next attempt is told if the point failed."""
        return f"{self.text} {self.explanation}".strip()


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one candidate.

    `status` is "ok" or "unparsable": an unparsable verdict leaves the candidate unranked, and is
    never a score of 0 nor a refusal. `score` is of `kind`, and is None unless the status is ok.
    """

    status: Literal["ok", "unparsable"]
    judge: str
    score: float | None = None
    kind: VerdictKind = "probability"
    points: tuple[Point, ...] = ()
    """The points that were read, where the judge has a checklist."""
    detail: str = ""

    def failed(self, threshold: float = 0.5) -> tuple[Point, ...]:
        """The points that are met with a probability below `threshold`."""
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
    """What a strategy answers, with the tree of everything that it considered.

    `output` is None when the model refused. `candidates` are in order of their index, never of
    their completion, and `chosen` is an index into them.
    """

    strategy: str
    output: Part | None
    finish: str = "stop"
    reason: str | None = None
    """What the model's provider says of a refusal."""
    source: str | None = None
    """What the provider calls the model that answered and its response."""
    plan: str | None = None
    thought: str | None = None
    verdict: Verdict | None = None
    candidates: tuple[Response, ...] = ()
    chosen: int | None = None
    note: str = ""
    keep_plan: bool = False

    def walk(self) -> Iterator[Response]:
        """The response and everything that it considered, parents first."""
        yield self
        for candidate in self.candidates:
            yield from candidate.walk()

    @property
    def left_behind(self) -> tuple[Part, ...]:
        """The parts that enter the dialogue's history."""
        output = () if self.output is None else (self.output,)
        return (Text(self.plan), *output) if self.keep_plan and self.plan else output
