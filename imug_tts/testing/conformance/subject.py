"""The model under test, the messages of its test cases, and the comparison of candidates."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
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
    "new_objects",
    "picture",
]

Parts = tuple[Part, ...]
SEEDS: Final = (11, 12, 13, 14)
_NEAR_LEVELS: Final = 2.0
"""Maximum mean pixel difference, in levels of 255, for two best-effort images to count as equal."""
_LOOKED_AT: Final = 24
"""Number of seeds to try before a case reports that nothing changes."""


class NotConforming(AssertionError):
    """The model breaks the contract or its own declarations."""


def demand(holds: bool, complaint: str) -> None:
    """Check a condition. Raises NotConforming with the complaint if it does not hold."""
    if not holds:
        raise NotConforming(complaint)


@dataclass(frozen=True, kw_only=True)
class Script:
    """The user messages of the cases, in words that the model understands. The defaults are plain English."""

    draw: Parts = (Text("Draw a red kite over a lake."),)
    draw_other: Parts = (Text("Draw two green boats in a harbour at night."),)
    redraw: Parts = (Text("Draw it again and make the sky darker."),)
    """The message after an image of the assistant."""
    ask: Parts = (Text("Say in one sentence what you see."),)
    ask_other: Parts = (Text("Name the colours, and nothing else."),)
    check: Parts = (Text("Is the picture bright? Answer yes or no."),)
    """A yes/no question about the assistant's last image."""
    refused: Parts | None = None
    """A message that the model always refuses; None if no such message is known."""
    user_images: bool = True
    """Whether users of this model may send images."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A backbone with the inputs of the test cases."""

    backbone: Backbone
    name: str = ""
    script: Script = Script()
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    """Settings of every call, e.g. few steps and a small size, so that the cases are fast."""
    max_tokens: int = 8
    others: Mapping[str, Any] = field(default_factory=dict)
    """Another allowed value for knobs and settings whose values cannot be guessed, e.g. texts and paths."""
    unseen: Mapping[str, str] = field(default_factory=dict)
    """Knobs and settings without a visible effect on this checkpoint, each with the reason."""
    late: Callable[[], AbstractContextManager[Backbone]] | None = None
    """The same model on servers that exceed its timeout of at most one second."""
    away: Callable[[], AbstractContextManager[Backbone]] | None = None
    """The same model at addresses without a server."""

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

    def any_request(self) -> Request:
        """A request of a kind that the model answers: for an output, or else for a reward."""
        if self.outputs:
            return self.request(self.outputs[0])
        asked = self.request("text", form="reward")
        return replace(asked, history=self.drawn(picture(1)))

    def drawn(self, *images: Image) -> tuple[Message, ...]:
        """A history in which the assistant has drawn these images, one per turn."""
        asked = [self.script.draw, *[self.script.redraw] * len(images)]
        return tuple(
            message
            for parts, image in zip(asked, images, strict=False)
            for message in (Message("user", parts), Message("assistant", (image,)))
        )

    def ask(self, request: Request) -> list[Candidate]:
        return self.backbone.generate([request])[0]

    def keeps(self, request: Request, other: Request) -> bool:
        """Whether two requests give the same outputs, as far as the model's seed guarantee goes."""
        made = (self.ask(replace(each, seeds=SEEDS)) for each in (request, other))
        return all(alike(one, two, self.seeds) for one, two in zip(*made, strict=True))

    def changes(self, request: Request, other: Request) -> bool:
        """Whether the outputs of two requests differ for any of several seeds; one seed may hide a
        difference.
        """
        return any(self._differ(request, other, SEEDS[0] + few) for few in range(0, _LOOKED_AT, 2))

    def _differ(self, request: Request, other: Request, seed: int) -> bool:
        made = (self.ask(replace(each, seeds=(seed, seed + 1))) for each in (request, other))
        return any(kept(one) != kept(two) for one, two in zip(*made, strict=True))


@contextmanager
def new_objects() -> Iterator[None]:
    """A context in which the garbage collector tracks only objects created inside, and is fast."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def picture(number: int) -> Image:
    """A picture of 64 x 64 pixels in 16 plain fields; different numbers give different pictures."""
    fields = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.from_pixels(np.kron(fields, np.ones((16, 16, 1), np.uint8)))


def kept(candidate: Candidate) -> tuple[object, ...]:
    """Everything in a candidate except its cost."""
    c = candidate
    return (c.output, c.finish, c.thought, c.reason, c.p_yes, c.reward)


def alike(one: Candidate, other: Candidate, guarantee: SeedGuarantee) -> bool:
    """Whether two candidates are equal, as far as the seed guarantee goes."""
    if guarantee == "exact":
        return kept(one) == kept(other)
    if isinstance(one.output, Image) and isinstance(other.output, Image):
        pixels, others = one.output.pixels().astype(float), other.output.pixels().astype(float)
        return pixels.shape == others.shape and float(np.abs(pixels - others).mean()) <= _NEAR_LEVELS
    return one.output == other.output
