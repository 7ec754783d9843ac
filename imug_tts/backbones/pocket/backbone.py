"""The pocket model as a backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imug_tts.backbones.pocket.folder import DamagedFolder, folder_hash, load_generator, read_training
from imug_tts.backbones.pocket.image_tokenizer import ImageTokenizer
from imug_tts.backbones.pocket.reading import (
    AnswerCall,
    Call,
    CheckCall,
    DrawCall,
    PlanCall,
    Unreadable,
    read,
)
from imug_tts.backbones.pocket.vocabulary import UnknownWord
from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Candidate,
    Capabilities,
    ConfigurationError,
    Cost,
    Request,
    TrainingCost,
)
from imug_tts.dialogue import Image, Text
from imug_tts.knobs import Folder, component, knob

if TYPE_CHECKING:
    from imug_tts.backbones.pocket.generator import PocketGenerator, Sampled

WEIGHTS: Final = Path(__file__).parent / "weights"
_VERSION: Final = "1"
_SIDE_PX: Final = 64
"""Side of the images of the pocket world."""
_CACHE_BYTES: Final = 600 << 20


@component
class PocketBackbone(Backbone):
    """A 1 M-parameter unified model of the pocket world: it draws, plans, answers and checks.

    Seeds are exact: inference is in float64 with one random stream per row, so a request and a seed give the
    same candidate alone, in any batch, and whatever the prefix cache contains. Requests with unknown words
    are refused.
    """

    folder: Folder | None = knob(
        "Folder of another model, e.g. one from experiments/train_pocket.py; null for the model of this "
        "package.",
        default=None,
        named=True,
    )

    @property
    def _home(self) -> Path:
        return self.folder or WEIGHTS

    @cached_property
    def identity(self) -> str:
        """Adapter version and hash of the model's files.

        Raises:
            ConfigurationError: a file is missing or differs from the published one.
        """
        try:
            return f"pocket:{_VERSION}:{folder_hash(self._home)[:16]}"
        except DamagedFolder as error:
            raise ConfigurationError(str(error)) from error

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text", "image"}),
            reads_images=True,
            draws_from_images=True,
            seeds="exact",
            logits=True,
            max_batch=64,
            prompts="pocket",
            image_px=_SIDE_PX,
        )

    @property
    def training(self) -> TrainingCost | None:
        """What `training.json` in the folder says.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        try:
            return read_training(self._home)
        except DamagedFolder as error:
            raise ConfigurationError(str(error)) from error

    @property
    def forward_seconds(self) -> float:
        """Seconds spent inside forward passes so far."""
        return self._generator.decoder.counters.forward_seconds if "_generator" in vars(self) else 0.0

    @cached_property
    def _generator(self) -> PocketGenerator:
        import torch

        try:
            folder_hash(self._home)
            return load_generator(self._home, torch.float64, _CACHE_BYTES)
        except DamagedFolder as error:
            raise BackboneError(str(error)) from error

    @cached_property
    def _tokenizer(self) -> ImageTokenizer:
        return ImageTokenizer.load(self._home / "image_tokenizer.safetensors")

    @cached_property
    def _drawn(self) -> dict[str, tuple[int, ...]]:
        """The codes of images drawn by this object, by the image's SHA-256."""
        return {}

    @cached_property
    def _codes(self) -> Callable[[Image], Sequence[int]]:
        @lru_cache(maxsize=8192)
        def encode(image: Image) -> Sequence[int]:
            return self._tokenizer.encode(image.pixels())

        # Cached codes replace encoding only if encoding is exact: a resumed run encodes the image files.
        exact = self._tokenizer.is_exact()
        return lambda image: (exact and self._drawn.get(image.sha256)) or encode(image)

    @cached_property
    def _picture(self) -> Callable[[tuple[int, ...]], Image]:
        @lru_cache(maxsize=8192)
        def draw(codes: tuple[int, ...]) -> Image:
            image = Image.from_pixels(self._tokenizer.decode(list(codes)))
            self._drawn[image.sha256] = codes
            return image

        return draw

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """The candidates of each request; requests of all kinds may be mixed. See `Backbone.generate`.

        Raises:
            BackboneError: the weights or an image of the history cannot be read.
        """
        answers: dict[int, list[Candidate]] = {}
        calls = {number: self._read(request) for number, request in enumerate(requests)}
        for number, call in calls.items():
            if isinstance(call, Unreadable | UnknownWord):
                refusal = Candidate(output=None, finish="refused", reason=str(call), cost=Cost(calls=1))
                answers[number] = [refusal] * len(requests[number].seeds)
        for kind, respond in self._responders().items():
            chosen = [n for n, call in calls.items() if isinstance(call, kind)]
            pairs = [(requests[n], call) for n in chosen if not isinstance(call := calls[n], Exception)]
            if pairs:
                answers.update(zip(chosen, respond(pairs), strict=True))
        return [answers[number] for number in range(len(requests))]

    def _responders(self) -> dict[type, Callable[[Sequence[tuple[Request, Call]]], list[list[Candidate]]]]:
        return {DrawCall: self._draw, PlanCall: self._plan, CheckCall: self._check, AnswerCall: self._answer}

    def _read(self, request: Request) -> Call | Unreadable | UnknownWord:
        try:
            return read(request, self._generator.vocabulary, self._codes)
        except (Unreadable, UnknownWord) as error:
            return error
        except (OSError, ValueError) as error:
            raise BackboneError(f"an image of the history cannot be read: {error}") from error

    def _draw(self, asked: Sequence[tuple[Request, Call]]) -> list[list[Candidate]]:
        drawn = self._generator.draw([_sampled(request, call) for request, call in asked])
        cells = self._generator.vocabulary.num_cells
        return [
            [
                Candidate(
                    output=self._picture(tuple(codes)),
                    cost=_cost(call, cells, images=1, nfe=cells),
                )
                for codes in pictures
            ]
            for (_, call), pictures in zip(asked, drawn, strict=True)
        ]

    def _plan(self, asked: Sequence[tuple[Request, Call]]) -> list[list[Candidate]]:
        written = self._generator.plan([_sampled(request, call) for request, call in asked])
        results = []
        for (request, call), plans in zip(asked, written, strict=True):
            limit = request.sampling.max_tokens
            results.append(
                [
                    Candidate(
                        output=Text(self._generator.vocabulary.decode(plan[:limit])),
                        finish="length" if len(plan) > limit else "stop",
                        cost=_cost(call, min(len(plan) + 1, limit)),
                    )
                    for plan in plans
                ]
            )
        return results

    def _check(self, asked: Sequence[tuple[Request, Call]]) -> list[list[Candidate]]:
        calls = [call for _, call in asked if isinstance(call, CheckCall)]
        marked = self._generator.mark([call.prompt for call in calls], [call.check for call in calls])
        verdicts = [self._verdict(call, shares) for call, shares in zip(calls, marked, strict=True)]
        return [[v] * len(request.seeds) for (request, _), v in zip(asked, verdicts, strict=True)]

    def _verdict(self, call: CheckCall, shares: Sequence[float]) -> Candidate:
        """The verdict of a check: P(yes) is the product over all cells, and a "no" names the doubtful
        cells.
        """
        p_yes = 1.0
        for share in shares:
            p_yes *= share
        doubtful = [
            cell for cell, share in zip(self._generator.vocabulary.cells, shares, strict=True) if share < 0.5
        ]
        likeliest = self._generator.vocabulary.cells[min(range(len(shares)), key=lambda cell: shares[cell])]
        words = "yes" if p_yes >= 0.5 else f"no {' '.join(doubtful or [likeliest])}"
        return Candidate(output=Text(words), p_yes=round(p_yes, 6), cost=_cost(call, len(shares)))

    def _answer(self, asked: Sequence[tuple[Request, Call]]) -> list[list[Candidate]]:
        from imug_tts.backbones.pocket.generator import Options

        jobs = [
            (call, Options(call.prompt, call.offered, seed, request.sampling.temperature, call.given_value))
            for request, call in asked
            if isinstance(call, AnswerCall)
            for seed in request.seeds
        ]
        said = iter(zip(jobs, self._generator.answer([job for _, job in jobs]), strict=True))
        results: list[list[Candidate]] = []
        for request, _ in asked:
            results.append([])
            for _ in request.seeds:
                (call, _), answer = next(said)
                value, letter = (
                    self._generator.vocabulary.decode([token]) for token in (answer.value, answer.letter)
                )
                text, thought = (value, None) if call.value_only else (letter, value)
                results[-1].append(Candidate(output=Text(text), thought=thought, cost=_cost(call, 2)))
        return results


def _sampled(request: Request, call: Call) -> Sampled:
    from imug_tts.backbones.pocket.generator import Sampled

    return Sampled(call.prompt, request.seeds, request.sampling.temperature)


def _cost(call: Call, new_tokens: int, images: int = 0, nfe: int = 0) -> Cost:
    """The cost of one call alone; the token that opens the answer counts as a prompt token."""
    prompt = sum(len(piece) for piece in call.prompt) + (
        len(call.check) if isinstance(call, CheckCall) else 1
    )
    return Cost(calls=1, prompt_tokens=prompt, new_tokens=new_tokens, images=images, nfe=nfe)
