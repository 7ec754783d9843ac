"""A model and its calls: what is asked of a backbone, what it answers, what that costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from operator import add, attrgetter
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from imug_tts.contracts.errors import ConfigurationError
from imug_tts.dialogue import Message, Modality, Part

__all__ = [
    "MODEL_ROLES",
    "Backbone",
    "Candidate",
    "Capabilities",
    "Cost",
    "Findings",
    "Finish",
    "Form",
    "Local",
    "MemoryNeed",
    "ModelRole",
    "Remote",
    "Request",
    "Sampling",
    "Scalar",
    "SeedGuarantee",
    "models_by_role",
]

Finish = Literal["stop", "length", "refused"]
"""Why a candidate ended. Refusals and length stops are data, so Best-of-N goes on with the rest."""

SeedGuarantee = Literal["exact", "best_effort", "none"]
"""Whether one request and seed give one candidate: bit for bit in any batch, nearly, or not."""

Form = Literal["free", "yes_no", "reward"]
"""What a text call must give: any text; "yes" or "no"; a number whose order counts."""

ModelRole = Literal["generator", "planner", "verifier", "scorer"]
MODEL_ROLES: Final[tuple[ModelRole, ...]] = ("generator", "planner", "verifier")
"""The roles that the backbone under test plays unless another model does; it never scores itself."""

Scalar = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What calls cost. Adding two costs adds every field.

    `prompt_tokens` are prefilled, `cached_tokens` are prompt tokens shared with a call that was
    charged for them already. `nfe` counts network evaluations, guidance branches included; for an
    autoregressive model it equals the new tokens of images. `seconds` is time in the model.
    """

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    new_tokens: int = 0
    denoise_steps: int = 0
    nfe: int = 0
    images: int = 0
    seconds: float = 0.0
    dollars: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        mine, others = _values(self), _values(other)
        if not any(mine) or not any(others):  # most of what a turn adds up is nothing
            return self if any(mine) else other
        return Cost(**dict(zip(_COSTS, map(add, mine, others), strict=True)))

    def after_a_shared_prompt(self) -> Cost:
        """The cost of a call whose prompt another call has paid for."""
        shared = self.prompt_tokens + self.cached_tokens
        return replace(self, prompt_tokens=0, cached_tokens=shared)

    def to_json(self) -> dict[str, Any]:
        return dict(zip(_COSTS, _values(self), strict=True))


_COSTS: Final = tuple(f.name for f in fields(Cost))
_values: Final = attrgetter(*_COSTS)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens or latents are drawn. A temperature of 0 is greedy.

    `settings` are the backbone's own for this call, as (name, value) pairs sorted by name, e.g.
    (("steps", 30),). A backbone declares those that it takes in `Backbone.settings`.
    """

    temperature: float = 1.0
    max_tokens: int = 512
    settings: tuple[tuple[str, Scalar], ...] = ()

    def __post_init__(self) -> None:
        # 1 and 1.0 are one call, 0.0 and -0.0 too, and the order of settings says nothing.
        object.__setattr__(self, "temperature", float(self.temperature) + 0.0)
        object.__setattr__(self, "settings", tuple(sorted((n, _one_form(v)) for n, v in self.settings)))
        if not self.temperature >= 0:
            raise ConfigurationError(f"temperature is {self.temperature}; it must be 0 or more")
        if self.max_tokens < 1:
            raise ConfigurationError(f"max_tokens is {self.max_tokens}; it must be 1 or more")


def _one_form(value: Scalar) -> Scalar:
    """The value; a whole number is an int whichever way it was written."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, kw_only=True)
class Request:
    """N candidates wanted: N seeds on one immutable history.

    The history ends with the user's message. A "yes_no" call must answer "yes" or "no" (an explanation may
    follow), with P(yes) where the backbone has logits; a "reward" call must give `Candidate.reward`.
    """

    history: tuple[Message, ...]
    modality: Modality
    seeds: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    form: Form = "free"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One answer to a request, for one of its seeds. `output` is None only when refused.

    `thought` is text that the model produced on the way and that is not part of the answer.
    `reason` is what a provider says of a refusal. `p_yes` is P(yes) in [0, 1] for a yes/no call, None
    where the backbone has no logits. `reward` is the number of a reward call, on the model's own scale.
    `source` is what a provider calls the model that answered and the response, because such models change.
    `cost` is this candidate's own; `prompt_tokens` is the full prompt, as if it were alone. `is_new` is set
    by the engine: whether this invocation made the call, and no journal answered it.
    """

    output: Part | None
    finish: Finish = "stop"
    thought: str | None = None
    reason: str | None = None
    p_yes: float | None = None
    reward: float | None = None
    source: str | None = None
    cost: Cost = field(default_factory=Cost)
    is_new: bool = field(default=True, compare=False)


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a backbone can do, declared truthfully and checked before any compute."""

    outputs: frozenset[Modality]
    reads_images: bool
    """Understands images of the history when it answers in text."""
    draws_from_images: bool
    """Images of the history influence the image that it draws."""
    seeds: SeedGuarantee
    logits: bool
    """Yes/no calls come with P(yes)."""
    max_batch: int
    """Candidates (rows) that one call of `generate` may ask for in all."""
    concurrent_batches: int = 1
    """Calls of `generate` that may be in flight at once, each from a thread of its own."""
    prompts: str = "default"
    """The prompt set in which strategies and judges address this backbone."""
    rewards: bool = False
    """Answers reward calls."""
    context_images: int | None = None
    """How many images of the history, the newest first, can change an image that it draws; None for all."""
    seeds_change_images: bool = True
    """False where every seed gives the same image, so that several candidates of an image would be one."""
    limits: tuple[str, ...] = ()
    """What a reader of its results must know, one sentence each, e.g. what it was not trained to do.

    Warned of when a run starts, kept in the manifest and said below the tables.
    """


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a few small calls showed of the images that a server draws; None where they could not tell."""

    seed_changes: bool | None = None
    """Another seed gives another image."""
    seed_repeats: bool | None = None
    """The same seed gives the same image again."""
    newest_image: bool | None = None
    """Another newest image in the history gives another image."""
    older_image: bool | None = None
    """Another older image in the history gives another image."""
    assistant: bool | None = None
    """Other words of the assistant in the history give another image."""
    reason: str = ""
    """Why not everything was found out."""
    cost: Cost = field(default_factory=Cost)
    """What the calls cost."""

    @property
    def limits(self) -> tuple[str, ...]:
        """What a reader of results must know, one sentence each."""
        failed = {
            "Probed: every seed gives the same image": self.seed_changes is False,
            "Probed: the same seed does not give the same image again": self.seed_repeats is False,
            "Probed: the newest image of a history does not change an image, and an older one does": (
                self.newest_image is False and self.older_image is True
            ),
            "Probed: what the assistant wrote before does not change an image": self.assistant is False,
            f"Not probed in full: {self.reason}": bool(self.reason),
        }
        return tuple(f"{what}." for what, is_so in failed.items() if is_so)

    def narrowed(self, declared: Capabilities) -> Capabilities:
        """The capabilities, as far as the findings do not speak against them."""
        images, unseen = declared.context_images, (self.newest_image, self.older_image) == (False, False)
        if unseen:
            images = 0
        elif self.newest_image and self.older_image is False:
            images = 1 if images is None else min(images, 1)
        return replace(
            declared,
            seeds="none" if self.seed_repeats is False else declared.seeds,
            seeds_change_images=declared.seeds_change_images and self.seed_changes is not False,
            context_images=images,
            draws_from_images=declared.draws_from_images and not unseen,
            limits=(*declared.limits, *(limit for limit in self.limits if limit not in declared.limits)),
        )


@dataclass(frozen=True, kw_only=True)
class MemoryNeed:
    """Estimated bytes that a model takes on its device."""

    weights: int
    per_turn: int = 0
    """More for each turn of a history: cached keys and values of its texts and images."""
    per_candidate: int = 0
    """More for each candidate of a batch."""


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """What the training of a model has cost, beyond the weights that it began with.

    Of a mean of several models' weights: their sums.
    """

    method: str
    """As `step`, or `mean of 3: step`: models of one method are told together."""
    start: str
    """Hash of the model that the training began with, or `scratch`."""
    seeds: Sequence[int]
    steps: int
    token_positions: int
    """Trained on. What the model played itself is not among them, but is in the seconds."""
    seconds: float
    """Wall-clock seconds of one process, summed over invocations: of steps and of playing."""
    play_seconds: float
    processes: int


class Backbone(ABC):
    """A unified multimodal model."""

    settings: ClassVar[type | None] = None
    """A class whose knobs are the settings that one call may change, e.g. steps; None for no settings."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Names weights and adapter version; a part of every call's identity. Loads no weights.

        The engine adds the knobs that change results and are not at their defaults. A knob whose value
        stands here already, in itself or in a hash of what it names, is declared with `named=True`.
        """

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities: ...

    @property
    def training(self) -> TrainingCost | None:
        """What the training of the weights has cost, for a run's manifest; None where nothing says it."""
        return None

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """One list of candidates per request, in the order of its seeds.

        Called from as many worker threads at a time as `concurrent_batches` says. Loads weights at its
        first call. Any exception fails the call; the engine halves a batch of several requests and tries
        again, until the request that fails stands alone.

        Raises:
            BackboneError: the batch failed as a whole; no candidate of it counts.
        """


class Local(Backbone):
    """A backbone whose weights are in this process, on a device that other models may need as well.

    The engine unloads it when another model needs the room, and never while it generates.
    """

    @property
    @abstractmethod
    def device(self) -> str:
        """The device in PyTorch's words, e.g. "cuda:0" or "cpu"; the first one of a model on several."""

    @property
    def is_spread(self) -> bool:
        """Whether its weights may lie on further devices as well, so that they need not fit on `device`."""
        return False

    @property
    @abstractmethod
    def memory(self) -> MemoryNeed:
        """An estimate from the files of the model, without loading weights.

        Raises:
            ConfigurationError: the files are missing or not of this model.
        """

    @property
    @abstractmethod
    def is_loaded(self) -> bool:
        """Whether weights are on the device now."""

    @abstractmethod
    def unload(self) -> None:
        """Free weights and caches; the next call of `generate` loads the weights again."""


class Remote(Backbone):
    """A backbone whose model runs on servers elsewhere. Its `max_batch` is 1."""

    @property
    @abstractmethod
    def dollars_per_call(self) -> float:
        """What an answered call costs on average; 0 where nobody has said."""

    @abstractmethod
    def answered(self, request: Request) -> AbstractContextManager[Candidate]:
        """The answer to a request of one seed.

        The engine writes the answer to the journal inside the `with` block. Keep the server's slot reserved
        until the block ends; then a kill loses only the calls in flight. Called from as many threads as
        `concurrent_batches` says.

        Raises:
            BackboneError: the call failed.
        """

    @abstractmethod
    def unreachable(self) -> Mapping[str, str]:
        """The servers that do not answer now, and why; asks each once, for no work or next to none."""

    def interrupt(self) -> None:
        """End all waits: calls in flight and later ones fail within two seconds. From any thread."""

    def to_probe(self) -> Mapping[str, Remote]:
        """This model on each of its servers alone, by URL, where its images are to be probed before a run."""
        return {}

    def learn(self, findings: Findings) -> None:
        """Take what probes of its servers found; `proven` narrows the capabilities by it from now on."""
        self.__dict__["_findings"] = findings

    @property
    def findings(self) -> Findings | None:
        """What probes of its servers found; None where none were made."""
        found: Findings | None = self.__dict__.get("_findings")
        return found

    def proven(self, declared: Capabilities) -> Capabilities:
        """The capabilities that an implementation declares, narrowed by what probes found."""
        return declared if self.findings is None else self.findings.narrowed(declared)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """One call per seed, one after the other."""
        made: list[list[Candidate]] = [[] for _ in requests]
        for request, candidates in zip(requests, made, strict=True):
            for seed in request.seeds:
                with self.answered(replace(request, seeds=(seed,))) as candidate:
                    candidates.append(candidate)
        return made


def models_by_role(
    backbone: Backbone, others: Mapping[ModelRole, Backbone] = MappingProxyType({})
) -> dict[ModelRole, Backbone]:
    """Who plays which role: the backbone under test, unless another model does."""
    return {**dict.fromkeys(MODEL_ROLES, backbone), **others}
