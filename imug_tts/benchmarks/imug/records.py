"""The record formats of the official data files, and error messages for invalid records.

The format is that of https://github.com/ccccEsion/IMUG-Bench. Unknown keys are ignored if the official code
ignores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from imug_tts.dialogue import Modality
from imug_tts.files import plain_name
from imug_tts.scoring.mcq import DYNAMIC

__all__ = [
    "Cell",
    "DynamicReference",
    "GridTruth",
    "ImageReferences",
    "OfSample",
    "Reference",
    "SampleName",
    "SampleRecord",
    "Task",
]


class SampleName(NamedTuple):
    """The unique name of a sample; ids alone repeat across subdomains."""

    domain: str
    subdomain: str
    sample_id: str

    def __str__(self) -> str:
        return "/".join(self)


def _answer(text: str) -> str:
    if not set(text) & set("ABCDEFG") and DYNAMIC not in text:
        raise ValueError(f"it must hold a letter A-G or {DYNAMIC}")
    return text


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


FileName = Annotated[str, AfterValidator(plain_name)]
"""A text that is used as the name of a folder or file, so it may not be a path."""
SampleId = Annotated[FileName, BeforeValidator(_text_of_number)]
Answer = Annotated[str, AfterValidator(_answer)]
Number = Annotated[int, Field(ge=1)]
"""The number of a turn, from 1."""
Cell = Literal["0", "1", "r", "g"]
"""A cell of a drawing: empty, a blank cube, a red cube, a green cube."""
Row = Annotated[list[Cell], Field(min_length=3, max_length=3)]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class OfSample(_Record):
    """A record about one sample."""

    domain: FileName
    subdomain: FileName = Field(validation_alias=AliasChoices("subdomain", "category"))
    sample_id: SampleId

    @property
    def name(self) -> SampleName:
        return SampleName(self.domain, self.subdomain, self.sample_id)


class Output(_Record):
    """The answer key of a turn."""

    answer: Answer | None = None
    evaluation_points: Annotated[list[str], Field(min_length=1)] | None = None


class Task(_Record):
    """One turn."""

    turn: Number
    modality: Modality
    input: Annotated[list[dict[Literal["text", "image"], str]], Field(min_length=1)]
    """Parts in order; one dict may hold both keys, in its own order."""
    output: Output

    @model_validator(mode="after")
    def _complete(self) -> Task:
        wanted = _SCORED_BY[self.modality]
        if getattr(self.output, wanted) is None:
            raise ValueError(f"output.{wanted} is missing; this turn is to be answered by {self.modality}")
        if not any(text for part in self.input for text in part.values()):
            raise ValueError("input has neither text nor image")
        return self


_SCORED_BY: Final[Mapping[Modality, str]] = {"text": "answer", "image": "evaluation_points"}


class SampleRecord(OfSample):
    """A line of benchmark.jsonl."""

    system_prompt: str | None = None
    tasks: Annotated[list[Task], Field(min_length=1)]


class Reference(_Record):
    """A reference to the image of a turn's input, or to the model's own output of that turn."""

    ref_turn: Number
    ref_type: Literal["input", "output"]


class _ReferenceLink(_Record):
    turn_idx: Number
    refs: list[Reference]


class ImageReferences(OfSample):
    """A line of image_references.jsonl: the reference images for judging each image turn."""

    reference_links: list[_ReferenceLink]


class DynamicReference(OfSample):
    """A line of dynamic_references.jsonl: the turns that determine the answer of a dynamic question."""

    turn_idx: Number
    ref_turn_idxs: Annotated[list[Number], Field(min_length=1)]


class GridTruth(_Record):
    """A line of a file in grid_gt/: the drawing that a turn asks for, row by row."""

    turn: Number
    grid: Annotated[list[Row], Field(min_length=3, max_length=3)]
