"""The model interface: the requests to a backbone, the candidates that it returns, and their cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from operator import add, attrgetter
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from imug_tts.contracts.errors import ConfigurationError
from imug_tts.contracts.training import TrainingCost
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
"""Why generation of a candidate stopped. "refused" and "length" are results, and not errors."""

SeedGuarantee = Literal["exact", "best_effort", "none"]
"""Whether equal seeds of equal requests give equal candidates: bit for bit in any batch, mostly, or never."""

Form = Literal["free", "yes_no", "reward"]
"""What the reply to a text call must be: any text; "yes" or "no"; a reward, i.e. a number of which only the
order counts.
"""

ModelRole = Literal["generator", "planner", "verifier", "scorer"]
MODEL_ROLES: Final[tuple[ModelRole, ...]] = ("generator", "planner", "verifier")
"""The roles that the backbone under test takes unless the configuration names another model. Scoring is never
one of them.
"""

Scalar = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one or more model calls. Adding two costs adds every field.

    `prompt_tokens` counts prefilled tokens; `cached_tokens` counts prompt tokens that another call with the
    same prompt has already been charged for. `nfe` counts network evaluations, guidance branches included;
    for an autoregressive model it equals the number of new image tokens. `seconds` is time spent in the
    model.
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
        if not any(mine) or not any(others):  # most summands are zero
            return self if any(mine) else other
        return Cost(**dict(zip(_COSTS, map(add, mine, others), strict=True)))

    def after_a_shared_prompt(self) -> Cost:
        """Return the cost with all prompt tokens counted as cached, for a prompt that another call pays."""
        shared = self.prompt_tokens + self.cached_tokens
        return replace(self, prompt_tokens=0, cached_tokens=shared)

    def to_json(self) -> dict[str, Any]:
        return dict(zip(_COSTS, _values(self), strict=True))


_COSTS: Final = tuple(f.name for f in fields(Cost))
_values: Final = attrgetter(*_COSTS)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens or latents are sampled. A temperature of 0 is greedy.

    `settings` are options of the backbone for one call, as (name, value) pairs sorted by name, e.g.
    (("steps", 30),). A backbone declares the options that it accepts in `Backbone.settings`.
    """

    temperature: float = 1.0
    max_tokens: int = 512
    settings: tuple[tuple[str, Scalar], ...] = ()

    def __post_init__(self) -> None:
        # Equal settings must give equal calls: 1 and 1.0, 0.0 and -0.0, and any order of the settings.
        object.__setattr__(self, "temperature", float(self.temperature) + 0.0)
        object.__setattr__(self, "settings", tuple(sorted((n, _one_form(v)) for n, v in self.settings)))
        if not self.temperature >= 0:
            raise ConfigurationError(f"temperature is {self.temperature}; it must be 0 or more")
        if self.max_tokens < 1:
            raise ConfigurationError(f"max_tokens is {self.max_tokens}; it must be 1 or more")


def _one_form(value: Scalar) -> Scalar:
    """Return the value with whole numbers as int, so that 1 and 1.0 are the same setting."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for N candidates: one history, N seeds.

    The history ends with a user message. A "yes_no" request must be answered with "yes" or "no" (an
    explanation may follow), and with P(yes) if the backbone has logits. A "reward" request must be answered
    with `Candidate.reward`.
    """

    history: tuple[Message, ...]
    modality: Modality
    seeds: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    form: Form = "free"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One answer to a request, for one of its seeds. `output` is None only if the model refused.

    `thought` is text that the model generated before the answer and that is not part of the answer. `reason`
    is the reason that a provider gives for a refusal. `p_yes` is P(yes) in [0, 1] for a yes/no call, None if
    the backbone has no logits. `reward` is the result of a reward call, on the model's own scale. `source` is
    the provider's identifier of the model version and the response, because hosted models change. `cost` is
    the cost of this candidate alone, with `prompt_tokens` of the full prompt. `shared_cost` is that of other
    work for all candidates of one history: a turn is charged for it once. `is_new`, set by the engine: True
    if this invocation made the call, False if the journal answered it.
    """

    output: Part | None
    finish: Finish = "stop"
    thought: str | None = None
    reason: str | None = None
    p_yes: float | None = None
    reward: float | None = None
    source: str | None = None
    cost: Cost = field(default_factory=Cost)
    shared_cost: Cost = field(default_factory=Cost)
    is_new: bool = field(default=True, compare=False)


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a backbone can do, as it declares; a run is checked against it before any compute."""

    outputs: frozenset[Modality]
    reads_images: bool
    """Whether a text answer can depend on images of the history."""
    draws_from_images: bool
    """Whether a generated image can depend on images of the history."""
    seeds: SeedGuarantee
    logits: bool
    """Whether yes/no calls return P(yes)."""
    max_batch: int
    """Largest number of candidates (rows) in one call of `generate`, over all its requests."""
    concurrent_batches: int = 1
    """Largest number of calls of `generate` in flight at once, each from its own thread."""
    prompts: str = "default"
    """Name of the prompt set that strategies and judges use for this backbone."""
    rewards: bool = False
    """Whether the backbone answers reward calls."""
    context_images: int | None = None
    """Number of images of the history, newest first, that a generated image can depend on; None for all."""
    image_px: int | None = None
    """Longest side of a generated image in pixels, as far as no setting changes it; None if unknown. A dry
    run estimates disk space with it.
    """
    seeds_change_images: bool = True
    """Whether images of different seeds differ. False if every seed gives the same image, so that sampling N
    images is useless.
    """
    limits: tuple[str, ...] = ()
    """Caveats for readers of results, one sentence each, e.g. a task that the model was not trained for.
    They are printed when a run starts and below tables, and stored in the manifest."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What probe calls found about the images of one server; a field is None if it stayed undecided."""

    seed_changes: bool | None = None
    """Whether another seed gives another image."""
    seed_repeats: bool | None = None
    """Whether the same seed gives the same image again."""
    newest_image: bool | None = None
    """Whether replacing the newest image of the history changes the generated image."""
    older_image: bool | None = None
    """Whether replacing an older image of the history changes the generated image."""
    assistant: bool | None = None
    """Whether replacing the assistant's text in the history changes the generated image."""
    reason: str = ""
    """Why some fields are None; empty if the probe decided all of them."""
    cost: Cost = field(default_factory=Cost)
    """The cost of the probing calls."""

    @property
    def limits(self) -> tuple[str, ...]:
        """Caveats for readers of results, one sentence for each failed or incomplete probe."""
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
        """Return the declared capabilities without those that the probes disproved."""
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
    """Estimated device memory of a model, in bytes."""

    weights: int
    per_turn: int = 0
    """Additional bytes for each turn of a history: cached keys and values of its texts and images."""
    per_candidate: int = 0
    """Additional bytes for each candidate of a batch."""


class Backbone(ABC):
    """A unified multimodal model: it generates text and images from a history of both."""

    settings: ClassVar[type | None] = None
    """A component class whose knobs are the options that can be set per call, e.g. steps; None for no such
    options.
    """

    @property
    @abstractmethod
    def identity(self) -> str:
        """The name of weights and adapter version, part of every call's identity. Loads no weights.

        The engine appends the knobs that change results and are not at their defaults. Declare a knob with
        `named=True` if this string already contains its value, or a hash of what the value names.
        """

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities: ...

    @property
    def training(self) -> TrainingCost | None:
        """The cost of training the weights, for a run's manifest; None if unknown."""
        return None

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """Return one list of candidates per request, in the order of the seeds of the request.

        Called from up to `concurrent_batches` worker threads at once. The first call loads the weights. Any
        exception fails the call: the engine then halves a batch of several requests and retries, until the
        failing request is alone.

        Raises:
            BackboneError: the whole batch failed; none of its candidates is used.
        """


class Local(Backbone):
    """A backbone whose weights are in this process, on a device that it may share with other models.

    The engine unloads the weights when another model needs the memory, but never during a call of `generate`.
    """

    @property
    @abstractmethod
    def device(self) -> str:
        """The PyTorch device of the weights, e.g. "cuda:0"; of a spread model, its first device."""

    @property
    def is_spread(self) -> bool:
        """Whether the weights may be spread over several devices, so that they need not fit on `device`."""
        return False

    @property
    @abstractmethod
    def memory(self) -> MemoryNeed:
        """The estimated memory need, computed from the files of the model without loading weights.

        Raises:
            ConfigurationError: the files are missing or belong to another model.
        """

    @property
    @abstractmethod
    def is_loaded(self) -> bool:
        """Whether the weights are on the device now."""

    @abstractmethod
    def unload(self) -> None:
        """Free the weights and caches. The next call of `generate` loads the weights again."""

    def drop_caches(self) -> bool:
        """Free what is kept on the device besides weights, e.g. keys and values; return if it was any."""
        return False


class Remote(Backbone):
    """A backbone whose model runs on one or more servers. `Capabilities.max_batch` is 1."""

    @property
    @abstractmethod
    def dollars_per_call(self) -> float:
        """The average price of an answered call in dollars; 0 if no price is configured."""

    @abstractmethod
    def answered(self, request: Request) -> AbstractContextManager[Candidate]:
        """Send a request of one seed; a context manager that yields the candidate.

        The engine writes the candidate to the journal inside the `with` block. Keep the server's slot
        reserved until the block ends; then a kill loses only the calls in flight. Called from up to
        `concurrent_batches` threads at once.

        Raises:
            BackboneError: the call failed.
        """

    @abstractmethod
    def unreachable(self) -> Mapping[str, str]:
        """Return the servers that do not respond now, by URL, with reasons. Sends one cheap request each."""

    def interrupt(self) -> None:
        """Make calls in flight and later ones fail within two seconds, until `resume`; from any thread."""

    def resume(self) -> None:
        """Accept calls again after `interrupt`, for a later run in this process."""

    def to_probe(self) -> Mapping[str, Remote]:
        """Return the servers to probe before a run, by URL: each is this backbone on that server alone."""
        return {}

    def learn(self, findings: Findings) -> None:
        """Store what probes found; from then on `proven` removes the capabilities that they disproved."""
        self.__dict__["_findings"] = findings

    @property
    def findings(self) -> Findings | None:
        """The findings of probes of this backbone's servers; None if no probe was made."""
        found: Findings | None = self.__dict__.get("_findings")
        return found

    def proven(self, declared: Capabilities) -> Capabilities:
        """Return the capabilities that the subclass declares, without those that probes disproved."""
        return declared if self.findings is None else self.findings.narrowed(declared)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """Return one list of candidates per request. Sends one call per seed, one after the other."""
        made: list[list[Candidate]] = [[] for _ in requests]
        for request, candidates in zip(requests, made, strict=True):
            for seed in request.seeds:
                with self.answered(replace(request, seeds=(seed,))) as candidate:
                    candidates.append(candidate)
        return made


def models_by_role(
    backbone: Backbone, others: Mapping[ModelRole, Backbone] = MappingProxyType({})
) -> dict[ModelRole, Backbone]:
    """Return the model of each role: the one in `others`, or else the backbone under test."""
    return {**dict.fromkeys(MODEL_ROLES, backbone), **others}
