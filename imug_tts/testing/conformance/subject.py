"""The model under test, the words in which it is asked, and how its candidates are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, Final

import numpy as np

from imug_tts.contracts import Backbone, Candidate, Form, Remote, Request, Sampling, Scalar, SeedGuarantee
from imug_tts.dialogue import Image, Message, Modality, Part, Text

__all__ = [
    "SEEDS",
    "NotConforming",
    "Script",
    "Subject",
    "alike",
    "demand",
    "kept",
    "picture",
]

Parts = tuple[Part, ...]
SEEDS: Final = (11, 12, 13, 14)
_NEAR_LEVELS: Final = 2.0
"""Mean difference of pixels, in levels of 255, up to which two best-effort images count as the same."""
_LOOKED_AT: Final = 24
"""Seeds with which a change is looked for before a case says that there is none."""


class NotConforming(AssertionError):
    """A model does not keep what the contract says, or what it declares."""


def demand(holds: bool, complaint: str) -> None:
    """Raises NotConforming unless it holds."""
    if not holds:
        raise NotConforming(complaint)


@dataclass(frozen=True, kw_only=True)
class Script:
    """The user's messages, in words that the model understands. The defaults are plain English."""

    draw: Parts = (Text("Draw a red kite over a lake."),)
    draw_other: Parts = (Text("Draw two green boats in a harbour at night."),)
    redraw: Parts = (Text("Draw it again and make the sky darker."),)
    """Follows an image of the assistant."""
    ask: Parts = (Text("Say in one sentence what you see."),)
    ask_other: Parts = (Text("Name the colours, and nothing else."),)
    check: Parts = (Text("Is the picture bright? Answer yes or no."),)
    """A yes/no question about the assistant's last image."""
    refused: Parts | None = None
    """What the model surely refuses; None where nobody knows such a message."""
    user_images: bool = True
    """Whether users of this model may show images."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A backbone as the cases ask it."""

    backbone: Backbone
    name: str = ""
    script: Script = Script()
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    """Settings of every call, e.g. a few steps and a small size, so that the cases are quick."""
    max_tokens: int = 8
    others: Mapping[str, Any] = field(default_factory=dict)
    """Another allowed value for knobs and settings where none can be guessed, e.g. of texts and paths."""
    unseen: Mapping[str, str] = field(default_factory=dict)
    """Knobs and settings whose effect cannot be seen on this checkpoint, each with the reason."""
    late: Callable[[], AbstractContextManager[Backbone]] | None = None
    """The same model on servers that take longer than its time limit of at most a second."""
    away: Callable[[], AbstractContextManager[Backbone]] | None = None
    """The same model where no server answers."""

    @property
    def seeds(self) -> SeedGuarantee:
        return self.backbone.capabilities.seeds

    @property
    def outputs(self) -> tuple[Modality, ...]:
        return tuple(sorted(self.backbone.capabilities.outputs))

    @property
    def is_remote(self) -> bool:
        return isinstance(self.backbone, Remote)

    def again(self, **knobs: Any) -> Backbone:
        """A new object of the same model, with some knobs changed."""
        backbone: Any = self.backbone
        name = type(backbone).__name__
        demand(is_dataclass(backbone), f"{name} is no component; put @component above its class")
        made: Backbone = replace(backbone, **knobs)
        return made

    def sampling(self, temperature: float = 1.0, **settings: Scalar) -> Sampling:
        chosen = {**self.settings, **settings}
        return Sampling(
            temperature=temperature, max_tokens=self.max_tokens, settings=tuple(sorted(chosen.items()))
        )

    def request(
        self,
        modality: Modality,
        *,
        parts: Parts | None = None,
        before: Sequence[Message] = (),
        seeds: tuple[int, ...] = SEEDS[:1],
        form: Form = "free",
        sampling: Sampling | None = None,
    ) -> Request:
        """A request that ends with the user's `parts`; by default with the script's message for its kind."""
        usual = self.script.draw if modality == "image" else self.script.ask
        if modality == "image" and before:
            usual = self.script.redraw
        if form == "yes_no":
            usual = self.script.check
        return Request(
            history=(*before, Message("user", parts or usual)),
            modality=modality,
            seeds=seeds,
            sampling=sampling or self.sampling(),
            form=form,
        )

    def drawn(self, *images: Image) -> tuple[Message, ...]:
        """A history in which the assistant has drawn these images, one a turn."""
        asked = [self.script.draw, *[self.script.redraw] * len(images)]
        return tuple(
            message
            for parts, image in zip(asked, images, strict=False)
            for message in (Message("user", parts), Message("assistant", (image,)))
        )

    def ask(self, request: Request) -> list[Candidate]:
        return self.backbone.generate([request])[0]

    def keeps(self, request: Request, other: Request) -> bool:
        """Whether two requests give the same outputs, as far as the model's guarantee of seeds goes."""
        made = (self.ask(replace(each, seeds=SEEDS)) for each in (request, other))
        return all(alike(one, two, self.seeds) for one, two in zip(*made, strict=True))

    def changes(self, request: Request, other: Request) -> bool:
        """Whether the outputs of two requests differ, with any of some seeds: one random draw may hide it."""
        return any(self._differ(request, other, SEEDS[0] + few) for few in range(0, _LOOKED_AT, 2))

    def _differ(self, request: Request, other: Request, seed: int) -> bool:
        made = (self.ask(replace(each, seeds=(seed, seed + 1))) for each in (request, other))
        return any(kept(one) != kept(two) for one, two in zip(*made, strict=True))


def picture(number: int) -> Image:
    """A picture of 64 x 64 pixels in 16 plain fields, another for each number."""
    fields = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.from_pixels(np.kron(fields, np.ones((16, 16, 1), np.uint8)))


def kept(candidate: Candidate) -> tuple[object, ...]:
    """What a reader of the answer gets: all but the cost."""
    c = candidate
    return (c.output, c.finish, c.thought, c.reason, c.p_yes, c.reward)


def alike(one: Candidate, other: Candidate, guarantee: SeedGuarantee) -> bool:
    """Whether two candidates are the same, as far as the guarantee of seeds goes."""
    if guarantee == "exact":
        return kept(one) == kept(other)
    if isinstance(one.output, Image) and isinstance(other.output, Image):
        pixels, others = one.output.pixels().astype(float), other.output.pixels().astype(float)
        return pixels.shape == others.shape and float(np.abs(pixels - others).mean()) <= _NEAR_LEVELS
    return one.output == other.output
