"""The composite backbone: a text backbone understands and writes, a pipeline of diffusers draws."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from imug_tts.backbones.composite import families
from imug_tts.backbones.composite.writing import ask, last_words, rewriting
from imug_tts.backbones.native.checkpoint import (
    ITEM_BYTES,
    folder_identity,
    read_json,
    tensor_headers,
    weight_bytes,
)
from imug_tts.backbones.native.placement import Native
from imug_tts.contracts import (
    Backbone,
    Candidate,
    Capabilities,
    ConfigurationError,
    Cost,
    MemoryNeed,
    Request,
    SeedGuarantee,
)
from imug_tts.dialogue import Image, Message, Text
from imug_tts.knobs import component, knob

if TYPE_CHECKING:
    from imug_tts.backbones.composite.pipeline import LoadedPipeline, Style

__all__ = ["CompositeBackbone", "CompositeSettings"]

_VERSION: Final = "1"
_DTYPES: Final = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_SIDE: Final = 1024
_WORKSPACE: Final = 24
"""Memory of one token at the peak, in values of the network's width; a rough estimate."""
_PROMPTS_KEPT: Final = 256
"""Number of cached drawing prompts (one per turn), for candidates that later calls request."""
_INSTRUCTION: Final = (
    "Do not answer and do not draw. Write one prompt for a text-to-image model that shows what the last "
    "message asks for. The model sees the newest images of this dialogue and none of its words, so say "
    "everything that the image must show, and what stays as it was. Reply with the prompt alone."
)
_GUARANTEES: Final[tuple[SeedGuarantee, ...]] = ("exact", "best_effort", "none")


@component
class CompositeSettings:
    """Settings of one call; null uses the value of the backbone."""

    steps: int | None = knob("Denoising steps.", default=None, ge=1)
    guidance: float | None = knob("Scale of guidance; 1 for none.", default=None, ge=0)
    height: int | None = knob("Height in pixels.", default=None, ge=16, multiple_of=16)
    width: int | None = knob("Width in pixels.", default=None, ge=16, multiple_of=16)


@component
class CompositeBackbone(Native):
    """Separate models for understanding and generation as one backbone: the baseline for unified models.

    Text calls go to the text backbone, with its capabilities, identity and cost. Images come from a pipeline
    of diffusers that accepts several reference images: the newest images of the history. Supported pipelines:
    Flux2KleinPipeline, Flux2KleinKVPipeline, Flux2Pipeline, GlmImagePipeline, JoyImageEditPlusPipeline,
    QwenImage21Pipeline and QwenImageEditPlusPipeline.
    """

    settings: ClassVar[type | None] = CompositeSettings

    text: Backbone = knob("The model that reads the dialogue and writes text.")
    drawing_prompt: Literal["last_message", "rewritten"] = knob(
        "Prompt of the pipeline. last_message: the texts of the last message, including additions of the "
        "strategy; rewritten: a prompt that the text backbone writes greedily from the whole dialogue.",
        default="last_message",
    )
    instruction: str = knob(
        "Instruction to the text backbone at the end of the dialogue, for drawing_prompt=rewritten.",
        default=_INSTRUCTION,
        min_length=1,
    )
    prompt_tokens: int = knob("Maximum number of tokens of a rewritten prompt.", default=384, ge=1)
    images: int | None = knob(
        "Number of newest images of the history that the pipeline gets; null for the number it was made for.",
        default=None,
        ge=0,
    )
    steps: int | None = knob("Denoising steps; null for the pipeline's default.", default=None, ge=1)
    guidance: float | None = knob(
        "Scale of guidance, 1 for none; null for the pipeline's default.", default=None, ge=0
    )
    height: int | None = knob(
        "Height in pixels; null for the pipeline's default, often that of a reference.",
        default=None,
        ge=16,
        multiple_of=16,
    )
    width: int | None = knob("Width in pixels; see height.", default=None, ge=16, multiple_of=16)
    images_per_call: int = knob(
        "Number of images per call of the pipeline; with 1, seeds are exact.", default=1, ge=1
    )
    max_batch: int = knob("Maximum number of candidates per call.", default=8, ge=1, runtime=True)

    @cached_property
    def identity(self) -> str:
        """Adapter version, pipeline class and hash of its files. The engine adds the identity of the text
        backbone.

        Raises:
            ConfigurationError: the folder holds no supported pipeline.
        """
        name, _ = self._family
        parts = [f"{part} {folder_identity(self.folder / part, files)}" for part, files in self._parts()]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return f"composite:{_VERSION}:{name}:{digest[:16]}"

    @property
    def capabilities(self) -> Capabilities:
        text = self.text.capabilities
        if "text" not in text.outputs:
            raise ConfigurationError(
                f"the text backbone of composite is {type(self.text).__name__}, which cannot write text; "
                "choose one that can"
            )
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=text.reads_images,
            draws_from_images=self._num_references > 0,
            seeds=max(text.seeds, self._seeds, key=_GUARANTEES.index),
            logits=text.logits,
            max_batch=self.max_batch,
            prompts=text.prompts,
            rewards=text.rewards,
            context_images=self._num_references,
            image_px=max(self.height or _SIDE, self.width or _SIDE),
            limits=(*text.limits, *self._limits()),
        )

    @cached_property
    def memory(self) -> MemoryNeed:
        """The memory need of the pipeline; the text backbone has its own estimate.

        The part of candidates is a rough estimate: 24 values of the network's width for each token of the
        image and of the references, and 512 for each pixel of the decoder's output.
        """
        shape = read_json(self.folder / "transformer" / "config.json")
        width = int(shape.get("num_attention_heads", 24)) * int(shape.get("attention_head_dim", 128))
        pixels = (self.height or _SIDE) * (self.width or _SIDE)
        tokens = pixels // 256 * (1 + self._num_references)
        each = (tokens * width * _WORKSPACE + pixels * 512) * ITEM_BYTES[self._dtype_name]
        together = min(self.images_per_call, self.max_batch)
        return MemoryNeed(
            weights=sum(weight_bytes(files, self._dtype_name) for _, files in self._parts()),
            per_candidate=each * together // self.max_batch,
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """The candidates of each request; both modalities may be mixed. See `Backbone.generate`.

        Raises:
            BackboneError: the text backbone failed, or an image of the history cannot be read.
        """
        written = [number for number, request in enumerate(requests) if request.modality == "text"]
        answers = dict(zip(written, ask(self.text, [requests[n] for n in written]), strict=True))
        for number, request in enumerate(requests):
            if request.modality == "image":
                answers[number] = self._draw(request)
        return [answers[number] for number in range(len(requests))]

    def _load(self) -> LoadedPipeline:
        import torch

        from imug_tts.backbones.composite.pipeline import load

        return load(self, getattr(torch, self._dtype_name))

    def _draw(self, request: Request) -> list[Candidate]:
        """The candidates of an image request. They share the cost of a rewritten prompt."""
        prompt, spent = last_words(request.history), Cost()
        if self.drawing_prompt == "rewritten":
            written = self._written(request.history)
            if not isinstance(written.output, Text):
                return [_refused(written)] * len(request.seeds)
            prompt, spent = written.output.text, written.cost
        return [replace(drawn, shared_cost=spent) for drawn in self._drawn(request, prompt)]

    @cached_property
    def _written(self) -> Callable[[tuple[Message, ...]], Candidate]:
        """The cached drawing prompt of a history, requested once: all candidates of a turn share it."""
        return lru_cache(maxsize=_PROMPTS_KEPT)(self._rewritten)

    def _rewritten(self, history: tuple[Message, ...]) -> Candidate:
        began = time.perf_counter()
        [[written]] = ask(self.text, [rewriting(history, self.instruction, self.prompt_tokens)])
        seconds = written.cost.seconds or time.perf_counter() - began
        return replace(written, cost=replace(written.cost, seconds=seconds))

    def _drawn(self, request: Request, prompt: str) -> Iterator[Candidate]:
        pipeline: LoadedPipeline = self._loaded
        style, references = self._style(request), self._references(request.history)
        steps, evaluations = pipeline.evaluations(style)
        most = 1 if self._family[1].one_seed else self.images_per_call
        thought = prompt if self.drawing_prompt == "rewritten" else None
        for start in range(0, len(request.seeds), most):
            seeds, began = request.seeds[start : start + most], time.perf_counter()
            images = pipeline.draw(prompt, references, seeds, style)
            seconds = (time.perf_counter() - began) / len(seeds)
            cost = Cost(calls=1, images=1, denoise_steps=steps, nfe=evaluations, seconds=seconds)
            yield from (Candidate(output=image, thought=thought, cost=cost) for image in images)

    def _style(self, request: Request) -> Style:
        from imug_tts.backbones.composite.pipeline import Style

        names = ("steps", "guidance", "height", "width")
        own = {name: getattr(self, name) for name in names}
        return Style(**(own | {n: v for n, v in request.sampling.settings if v is not None}))

    def _references(self, history: Sequence[Message]) -> list[Image]:
        shown = [part for message in history for part in message.parts if isinstance(part, Image)]
        return shown[-self._num_references :] if self._num_references else []

    @cached_property
    def _family(self) -> tuple[str, families.Family]:
        return families.family_of(self.folder)

    @property
    def _num_references(self) -> int:
        return self._family[1].references if self.images is None else self.images

    @property
    def _seeds(self) -> SeedGuarantee:
        alone = self.images_per_call == 1 or self._family[1].one_seed
        return "exact" if alone else "best_effort"

    def _limits(self) -> Iterator[str]:
        name, family = self._family
        if self.drawing_prompt == "last_message":
            yield f"Two models: {name} draws from the words of the last message and from no earlier text."
        else:
            yield f"Two models: {name} draws from a prompt that the text model writes from the dialogue."
        if family.edits_only:
            yield f"{name} only edits: where the history has no image, it edits a white canvas."
        if self._num_references > family.references:
            yield f"{name} was made for {family.references} images and gets up to {self._num_references}."

    @cached_property
    def _dtype_name(self) -> str:
        """The dtype that the knob `dtype` selects; for auto, that of the network's weights."""
        if self.dtype != "auto":
            return self.dtype
        headers = tensor_headers(families.weight_files(self.folder / "transformer")).values()
        floats = [header for header in headers if header.dtype in _DTYPES]
        return _DTYPES[max(floats, key=lambda each: each.nbytes).dtype] if floats else "float32"

    def _parts(self) -> list[tuple[str, list[Path]]]:
        """The parts of the pipeline, each with its safetensors files; a scheduler or a tokenizer has none.

        Raises:
            ConfigurationError: no part has weights.
        """
        index = families.index_of(self.folder)
        names = sorted(name for name, value in index.items() if isinstance(value, list) and value[0])
        parts = [(name, families.weight_files(self.folder / name)) for name in names]
        if not any(files for _, files in parts):
            raise ConfigurationError(
                f"{self.folder} holds no */*.safetensors file; give the folder of a downloaded pipeline"
            )
        return parts


def _refused(written: Candidate) -> Candidate:
    return Candidate(output=None, finish="refused", reason=written.reason, shared_cost=written.cost)
