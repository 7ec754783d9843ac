"""One cell of a study, and whether it can work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from imug_tts.contracts import (
    MODEL_ROLES,
    Backbone,
    Benchmark,
    ConfigurationError,
    ModelRole,
    Strategy,
)
from imug_tts.dialogue import Sample
from imug_tts.engine.scope import Budget
from imug_tts.strategies import check_composition

__all__ = ["Arm", "History", "check"]

History = Literal["own", "gold"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One cell of a study: who answers which dialogues, how, and on which history."""

    backbone: Backbone
    strategy: Strategy
    benchmark: Benchmark
    roles: Mapping[ModelRole, Backbone] = field(default_factory=dict)
    """Other models than `backbone` for the planner or the verifier."""
    history: History = "own"
    """Whose outputs earlier turns show: the model's own, or the reference outputs."""
    seed: int = 0
    budget: Budget = field(default_factory=Budget)

    @property
    def models(self) -> dict[ModelRole, Backbone]:
        return {**dict.fromkeys(MODEL_ROLES, self.backbone), **self.roles}


def check(arm: Arm) -> None:
    """Check that the arm can work, before any compute.

    Raises:
        ConfigurationError: with the reason and what to change.
    """
    if arm.history not in ("own", "gold"):
        raise ConfigurationError(f"history is {arm.history!r}; it must be own or gold")
    samples = arm.benchmark.samples()
    if not samples:
        raise ConfigurationError("the benchmark has no samples under these settings; widen its filters")
    posed = {question.modality for sample in samples for question in sample.questions}
    capabilities = {role: model.capabilities for role, model in arm.models.items()}
    check_composition(arm.strategy, capabilities, posed)
    if arm.history == "gold":
        _check_references(arm.benchmark, samples[0])


def _check_references(benchmark: Benchmark, sample: Sample) -> None:
    for question in sample.questions:
        if benchmark.reference(sample, question.number) is None:
            raise ConfigurationError(
                f"history=gold needs reference outputs, and turn {question.number} of {sample.name} "
                "has none; use history=own"
            )
