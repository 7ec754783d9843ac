"""Test-time scaling strategies, and what a strategy or judge has of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol

from imug_tts.contracts.model import MODEL_ROLES, Backbone, Candidate, Capabilities, Form, ModelRole, Sampling
from imug_tts.dialogue import Message, Modality, Response, Turn

__all__ = ["JudgeUse", "Models", "Scope", "Setting", "Strategy"]

Models = Mapping[ModelRole, Backbone | None]
"""The models that a component itself asks, by role; None stands for the run's own model in that role."""

JudgeUse = Literal["selects", "verifies", "judges"]
"""What a strategy does with its judge; tables say "selected by" and "verified by"."""


class Scope(Protocol):
    """What a strategy or judge has of the world: models, this branch's seed, the budget."""

    @property
    def seed(self) -> int:
        """f(run seed, sample, turn, path of children). Child 0 has its parent's seed."""
        ...

    def prompts(self, role: ModelRole, model: Backbone | None = None) -> Mapping[str, str]:
        """Prompt texts by name, in the set that the model (by default the run's in that role) declares."""
        ...

    def child(self, index: int) -> Scope:
        """The scope of attempt `index` of a sequence; attempts share this scope's budget."""
        ...

    def split(self, n: int) -> Sequence[Scope]:
        """Scopes of n parallel candidates; each gets its share of the budget left.

        Fewer than n when the budget of the turn's own modality is smaller; at least one.
        """
        ...

    def as_scorer(self, turn: int | None = None) -> Scope:
        """The scope in which the turn is scored: one seed for all arms, and no budget.

        With `turn`, the scope in which that turn of the dialogue is scored; this turn pays for its calls.
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
        """One candidate for this branch's seed.

        Args:
            role: what the call is for; decides whose cost it is, and which model of the run is asked.
            model: the model to ask instead of the run's model in that role.

        Raises:
            OutOfBudget: the turn's budget allows no further call of this modality.
            NoScorer: the role is the scorer's, and the run has none.
            BackboneError: the call failed.
            JudgeError: the call failed, and the role is the scorer's.
        """
        ...


class Setting(Protocol):
    """The run for which a composition is checked, as a component sees it."""

    @property
    def posed(self) -> Sequence[Modality]:
        """The modalities of the turns that will be posed, sorted."""
        ...

    def capabilities(self, role: ModelRole, model: Backbone | None = None) -> Capabilities:
        """What the model can do; without `model`, the run's model in that role."""
        ...

    def has(self, role: ModelRole) -> bool:
        """Whether the run has a model in that role; only a scorer may be missing."""
        ...

    def settings(self, role: ModelRole) -> type | None:
        """The settings that the run's model in that role declares."""
        ...

    def prompts(self, role: ModelRole, model: Backbone | None = None) -> Mapping[str, str]: ...

    def is_inside(self, kind: type[Strategy]) -> bool:
        """Whether a layer of that class stands around the one that is checked."""
        ...


class Strategy(ABC):
    """How a turn is answered. A component: its fields typed Strategy and Judge are its parts."""

    judge_use: ClassVar[JudgeUse] = "judges"

    @property
    @abstractmethod
    def name(self) -> str:
        """What tables call this layer alone, without what it wraps, e.g. "best_of_4"."""

    @abstractmethod
    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """Answer the turn.

        Raises:
            OutOfBudget: nothing could be asked at all.
            BackboneError, JudgeError: a call failed.
        """

    @property
    def models(self) -> Models:
        """The models that this layer itself asks; by default any of the run's."""
        return dict.fromkeys(MODEL_ROLES)

    def acts_on(self, modality: Modality) -> bool:
        """Whether the layer does anything on turns of this modality; else it hands them to its part."""
        del modality
        return True

    def varies(self, modality: Modality) -> bool | None:
        """Whether answers differ between seeds by this layer's own doing; None: it is as its parts are."""
        del modality
        return None

    def check(self, setting: Setting) -> None:
        """Check that the layer can work in this setting, before any compute.

        Raises:
            ConfigurationError: with the reason and what to change.
        """

    def draws(self, modality: Modality) -> int:
        """Answers of its part that must differ; more than one is refused where the part is greedy."""
        del modality
        return 1

    def at_temperature(self, temperature: float) -> Strategy:
        """The layer whose own text answers are drawn at `temperature`; its parts are changed elsewhere."""
        del temperature
        return self
