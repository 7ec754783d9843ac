"""The strategy interface, and the scope through which strategies and judges call models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol

from imug_tts.contracts.model import MODEL_ROLES, Backbone, Candidate, Capabilities, Form, ModelRole, Sampling
from imug_tts.dialogue import Message, Modality, Response, Turn

__all__ = ["JudgeUse", "Models", "Scope", "Setting", "Strategy"]

Models = Mapping[ModelRole, Backbone | None]
"""The models that a component calls, by role; None for the run's own model in that role."""

JudgeUse = Literal["selects", "verifies", "judges"]
"""What a strategy uses its judge for; tables print "selected by" or "verified by"."""


class Scope(Protocol):
    """Access of a strategy or judge to models, seed and budget, for one branch of a turn."""

    @property
    def seed(self) -> int:
        """The branch's seed, derived from run seed, sample, turn and child indices; child 0 keeps it."""
        ...

    def prompts(self, role: ModelRole, model: Backbone | None = None) -> Mapping[str, str]:
        """Return the prompt texts by name, in the prompt set of `model` or of the role's model."""
        ...

    def child(self, index: int) -> Scope:
        """Return the scope of attempt `index` of a sequence; all attempts share this scope's budget."""
        ...

    def split(self, n: int) -> Sequence[Scope]:
        """Return scopes for n parallel candidates. Each gets an even share of the remaining budget.

        Returns fewer than n scopes, but at least one, if the budget allows fewer calls of the turn's
        modality.
        """
        ...

    def as_scorer(self, turn: int | None = None) -> Scope:
        """Return the scope for scoring this turn: the same seed in all arms, and no budget.

        With `turn`, the scope scores that turn of the dialogue instead; the cost is still charged to this
        turn.
        """
        ...

    async def ask(
        self,
        role: ModelRole,
        history: tuple[Message, ...],
        modality: Modality,
        sampling: Sampling,
        *,
        form: Form = "free",
        model: Backbone | None = None,
    ) -> Candidate:
        """Call a model and return one candidate, for the seed of this branch.

        Args:
            role: purpose of the call. It selects the model of the run, and whether generator, judge or scorer
                is charged.
            model: the model to call instead of the run's model in that role.

        Raises:
            OutOfBudget: the turn's budget allows no further call of this modality.
            NoScorer: the role is "scorer", and the run has no scorer.
            BackboneError: the call failed.
            JudgeError: the call failed, and the role is "scorer".
        """
        ...


class Setting(Protocol):
    """The run against which a component is checked: its models and the modalities of its turns."""

    @property
    def posed(self) -> Sequence[Modality]:
        """The modalities of the turns that the benchmark asks, sorted."""
        ...

    def capabilities(self, role: ModelRole, model: Backbone | None = None) -> Capabilities:
        """Return the capabilities of `model`; by default of the run's model in that role."""
        ...

    def has(self, role: ModelRole) -> bool:
        """Return whether the run has a model in that role; only the scorer may be missing."""
        ...

    def settings(self, role: ModelRole) -> type | None:
        """Return the class of per-call options of the run's model in that role; None for no options."""
        ...

    def prompts(self, role: ModelRole, model: Backbone | None = None) -> Mapping[str, str]: ...

    def is_inside(self, kind: type[Strategy]) -> bool:
        """Return whether the checked layer is nested, at any depth, in a layer of class `kind`."""
        ...


class Strategy(ABC):
    """How a turn is answered. A strategy is a component; its fields typed Strategy or Judge are its parts."""

    judge_use: ClassVar[JudgeUse] = "judges"

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of this layer in tables, without the layers that it wraps, e.g. "best_of_4"."""

    @abstractmethod
    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """Return the answer to the turn, with all candidates that were considered.

        Raises:
            OutOfBudget: the budget does not allow even the first call.
            BackboneError, JudgeError: a call failed.
        """

    @property
    def models(self) -> Models:
        """The models that this layer calls itself, by role; by default all of the run's models."""
        return dict.fromkeys(MODEL_ROLES)

    def acts_on(self, modality: Modality) -> bool:
        """Return whether the layer acts on turns of this modality; if not, it only passes them on."""
        del modality
        return True

    def varies(self, modality: Modality) -> bool | None:
        """Return whether this layer makes answers differ between seeds; None if that depends on its parts."""
        del modality
        return None

    def check(self, setting: Setting) -> None:
        """Check that the layer can work in this setting, before any compute.

        Raises:
            ConfigurationError: the layer cannot; the message gives the reason and what to change.
        """

    def draws(self, modality: Modality) -> int:
        """Return how many inner answers must differ; above 1, a greedy inner strategy is an error."""
        del modality
        return 1

    def at_temperature(self, temperature: float) -> Strategy:
        """Return this layer with its own text answers at `temperature`; its parts stay as they are."""
        del temperature
        return self
