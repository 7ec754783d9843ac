"""The four protocols of the library (Backbone, Strategy, Judge, Benchmark) and what passes between.

Implementations import this module and `dialogue`, never each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from operator import add, attrgetter
from typing import Any, Final, Literal, Protocol, runtime_checkable

from imug_tts.dialogue import Message, Modality, Part, Response, Sample, Turn, Verdict

__all__ = [
    "MODEL_ROLES",
    "Backbone",
    "BackboneError",
    "Benchmark",
    "Candidate",
    "Capabilities",
    "ConfigurationError",
    "Cost",
    "Finish",
    "Judge",
    "JudgeError",
    "ModelRole",
    "NoScorer",
    "OutOfBudget",
    "Outcome",
    "Ranker",
    "Remote",
    "Request",
    "Sampling",
    "Scope",
    "Score",
    "SeedGuarantee",
    "Strategy",
    "TimedOut",
    "models_by_role",
]

Outcome = Literal["scored", "unscored", "model_error", "judge_error", "refused", "timed_out"]
"""How a turn ends; a closed set. Only `scored` has a score; `unscored` is answered and waits for a scorer."""

Finish = Literal["stop", "length", "refused"]
"""Why a candidate ended. Refusals and length stops are data, so Best-of-N goes on with the rest."""

SeedGuarantee = Literal["exact", "best_effort", "none"]
"""Whether one request and seed give one candidate: bit for bit in any batch, nearly, or not."""

ModelRole = Literal["generator", "planner", "verifier", "scorer"]
MODEL_ROLES: Final[tuple[ModelRole, ...]] = ("generator", "planner", "verifier")
"""The roles that the backbone under test plays unless another model does; it never scores itself."""


class ConfigurationError(ValueError):
    """The run cannot work as configured. Raised before any compute; says what to change."""


class BackboneError(RuntimeError):
    """A model call failed. The turn ends as `model_error` and is tried again at the next start."""


class TimedOut(BackboneError):
    """A model call exceeded its time limit. The turn ends as `timed_out`."""


class JudgeError(RuntimeError):
    """A judge call failed. The turn ends as `judge_error` and is tried again at the next start."""


class NoScorer(JudgeError):
    """The score needs a model in the role of the scorer, and the run has none: the turn ends `unscored`."""


class OutOfBudget(Exception):
    """The turn's budget allows no further call of this kind; a strategy ends with its best so far."""


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

    def behind_a_shared_prompt(self) -> Cost:
        """The cost of a call whose prompt another call has paid for."""
        shared = self.prompt_tokens + self.cached_tokens
        return replace(self, prompt_tokens=0, cached_tokens=shared)

    def to_json(self) -> dict[str, Any]:
        return dict(zip(_COSTS, _values(self), strict=True))


_COSTS: Final = tuple(f.name for f in fields(Cost))
_values: Final = attrgetter(*_COSTS)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens or latents are drawn. A temperature of 0 is greedy."""

    temperature: float = 1.0
    max_tokens: int = 512

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ConfigurationError(f"temperature is {self.temperature}; it must be 0 or more")
        if self.max_tokens < 1:
            raise ConfigurationError(f"max_tokens is {self.max_tokens}; it must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class Request:
    """N candidates wanted: N seeds on one immutable history.

    The history ends with the user's message. With `yes_no` the answer must be "yes" or "no"
    (an explanation may follow), and the candidate carries P(yes) where the backbone has logits.
    """

    history: tuple[Message, ...]
    modality: Modality
    seeds: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    yes_no: bool = False


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One answer to a request, for one of its seeds. `output` is None only when refused.

    `thought` is text that the model produced on the way and that is not part of the answer.
    `reason` is what a provider says of a refusal. `p_yes` is P(yes) in [0, 1] for a yes/no request, None
    where the backbone has no logits.
    `cost` is this candidate's own; `prompt_tokens` is the full prompt, as if it were alone. `fresh` is set
    by the engine: whether the call was made now, and not answered by a journal.
    """

    output: Part | None
    finish: Finish = "stop"
    thought: str | None = None
    reason: str | None = None
    p_yes: float | None = None
    cost: Cost = field(default_factory=Cost)
    fresh: bool = field(default=True, compare=False)


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
    """Yes/no requests come with P(yes)."""
    max_batch: int
    """Candidates (rows) that one call of `generate` may ask for in all."""
    concurrent_batches: int = 1
    """Calls of `generate` that may be in flight at once, each from a thread of its own."""
    prompts: str = "default"
    """The prompt set in which strategies and judges address this backbone."""


@runtime_checkable
class Backbone(Protocol):
    """A unified multimodal model."""

    @property
    def identity(self) -> str:
        """Names weights and adapter version; a part of every call's identity. Loads no weights."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """One list of candidates per request, in the order of its seeds.

        Called from as many worker threads at a time as `concurrent_batches` says. Loads weights at its
        first call.

        Raises:
            BackboneError: the batch failed as a whole; no candidate of it counts.
        """
        ...


@runtime_checkable
class Remote(Backbone, Protocol):
    """A backbone whose model runs on servers elsewhere. Its `max_batch` is 1."""

    @property
    def dollars_per_call(self) -> float:
        """What an answered call costs on average; 0 where nobody has said."""
        ...

    def answered(self, request: Request) -> AbstractContextManager[Candidate]:
        """The answer to a request of one seed.

        The engine keeps the answer inside the block. A backbone that holds the call's place at its server
        until the block ends loses to a kill no more than the calls in flight. Called from as many threads as
        `concurrent_batches` says.

        Raises:
            BackboneError: the call failed.
        """
        ...

    def unreachable(self) -> Mapping[str, str]:
        """The servers that do not answer now, and why; asks each once, for no work or next to none."""
        ...

    def interrupt(self) -> None:
        """End all waits: calls in flight and later ones fail within two seconds. From any thread."""

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """One call per seed, one after the other."""
        made: list[list[Candidate]] = [[] for _ in requests]
        for request, candidates in zip(requests, made, strict=True):
            for seed in request.seeds:
                with self.answered(replace(request, seeds=(seed,))) as candidate:
                    candidates.append(candidate)
        return made


def models_by_role(backbone: Backbone, others: Mapping[ModelRole, Backbone]) -> dict[ModelRole, Backbone]:
    """Who plays which role: the backbone under test, unless another model does."""
    return {**dict.fromkeys(MODEL_ROLES, backbone), **others}


class Scope(Protocol):
    """What a strategy or judge has of the world: models by role, this branch's seed, the budget."""

    @property
    def seed(self) -> int:
        """f(run seed, sample, turn, path of children). Child 0 has its parent's seed."""
        ...

    def prompts(self, role: ModelRole) -> Mapping[str, str]:
        """Prompt texts by name, in the set that the role's model declares."""
        ...

    def child(self, index: int) -> Scope:
        """The scope of attempt `index` of a sequence; attempts share this scope's budget."""
        ...

    def split(self, n: int) -> Sequence[Scope]:
        """Scopes of n parallel candidates; each gets its share of the budget left.

        Fewer than n when the budget of the turn's own modality is smaller; at least one.
        """
        ...

    def as_scorer(self) -> Scope:
        """The scope in which the turn is scored: one seed for all arms, and no budget."""
        ...

    async def ask(
        self,
        role: ModelRole,
        history: tuple[Message, ...],
        modality: Modality,
        sampling: Sampling,
        *,
        yes_no: bool = False,
    ) -> Candidate:
        """One candidate for this branch's seed.

        Raises:
            OutOfBudget: the turn's budget allows no further call of this modality.
            NoScorer: the role is the scorer's, and the run has none.
            BackboneError: the call failed.
            JudgeError: the call failed, and the role is the scorer's.
        """
        ...


class Strategy(Protocol):
    """Test-time scaling: how a turn is answered. A frozen, keyword-only dataclass."""

    @property
    def name(self) -> str:
        """What tables call this layer alone, without what it wraps, e.g. "best_of_4"."""
        ...

    async def respond(self, turn: Turn, scope: Scope) -> Response: ...


class Judge(Protocol):
    """Selector and verifier inside a strategy. Never sees the benchmark's answer key unless `oracle`."""

    @property
    def name(self) -> str: ...

    @property
    def oracle(self) -> bool:
        """True when it is the scorer itself; tables then say so."""
        ...

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Judge `response` as an answer to `turn` (its history alone, not its notes).

        Raises:
            JudgeError: the judge could not be reached or failed.
            OutOfBudget: the turn's budget allows no further text call.
        """
        ...


@runtime_checkable
class Ranker(Judge, Protocol):
    """A judge that compares candidates, and has nothing to say of one alone: a selector only."""

    async def rank(self, turn: Turn, responses: Sequence[Response], scope: Scope) -> list[Verdict]:
        """One verdict for each of two responses or more, in their order.

        Raises:
            JudgeError: the judge could not be reached or failed.
            OutOfBudget: the turn's budget does not allow all comparisons.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Score:
    """A turn's score in [0, 1] and what it is made of, all plain JSON values."""

    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)


class Benchmark(Protocol):
    """Dialogues, their references, and their scorer."""

    @property
    def identity(self) -> str:
        """Names the benchmark and the version or hash of its data."""
        ...

    def samples(self) -> Sequence[Sample]: ...

    def reference(self, sample: Sample, number: int) -> Part | None:
        """The reference output of turn `number`, for teacher forcing; None where there is none."""
        ...

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        """Score the last of `outputs`, the answers to turns 1..len(outputs).

        Earlier outputs may be None where a turn has no answer. A judge model is asked through `scope`, in
        the role "scorer".

        Raises:
            NoScorer: the score needs a judge model, and the run has none.
            JudgeError: the scoring judge failed, or an earlier output that it must see is missing.
        """
        ...
