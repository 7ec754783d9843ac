"""One cell of a study, and whether it can work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from imug_tts.contracts import (
    Backbone,
    Benchmark,
    ConfigurationError,
    ModelRole,
    Strategy,
    models_by_role,
)
from imug_tts.dialogue import Question, Sample
from imug_tts.engine.scope import Budget
from imug_tts.engine.transcript import Transcript
from imug_tts.recorded import Recorded
from imug_tts.strategies import check_composition

__all__ = ["Arm", "History", "check"]

History = Literal["own", "gold", "swap"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One cell of a study: who answers which dialogues, how, and on which history."""

    backbone: Backbone
    strategy: Strategy
    benchmark: Benchmark
    roles: Mapping[ModelRole, Backbone] = field(default_factory=dict)
    """Other models than `backbone` for the planner or the verifier, and the model that scores."""
    history: History = "own"
    """Whose outputs earlier turns show: the model's own, the reference outputs, or another run's."""
    transcript: Transcript | None = None
    """The other run's answers, for history="swap"."""
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    score_candidates: bool = True
    """Whether every output that a strategy considered is scored, not the answers alone."""

    @property
    def models(self) -> dict[ModelRole, Backbone]:
        return models_by_role(self.backbone, self.roles)


def check(arm: Arm) -> None:
    """Check that the arm can work, before any compute.

    Raises:
        ConfigurationError: with the reason and what to change.
    """
    samples = arm.benchmark.samples()
    if not samples:
        raise ConfigurationError("the benchmark has no samples under these settings; widen its filters")
    posed = {question.modality for sample in samples for question in sample.questions}
    capabilities = {role: model.capabilities for role, model in arm.models.items()}
    check_composition(arm.strategy, capabilities, posed)
    if arm.history == "gold":
        _check_references(arm.benchmark, samples)
    elif arm.history == "swap" and not isinstance(arm.strategy, Recorded):  # which reads no history
        _check_transcript(arm, samples)


def _check_references(benchmark: Benchmark, samples: Sequence[Sample]) -> None:
    for sample, question in _turns_before_the_last(samples):
        if benchmark.reference(sample, question.number) is None:
            raise ConfigurationError(
                f"history=gold needs reference outputs, and turn {question.number} of {sample.name} "
                "has none; use history=own, or history=swap with another run's outputs"
            )


def _check_transcript(arm: Arm, samples: Sequence[Sample]) -> None:
    transcript = arm.transcript
    if transcript is None:
        raise ConfigurationError(
            "history=swap needs the run whose outputs are shown: history_from=runs/STUDY/RUN"
        )
    if transcript.benchmark not in (None, arm.benchmark.identity):
        raise ConfigurationError(
            f"history_from: {transcript.run} answered {transcript.benchmark}, and this run is to answer "
            f"{arm.benchmark.identity}; swap histories between runs of the same benchmark"
        )
    wanted = list(_turns_before_the_last(samples))
    missing = [
        f"turn {question.number} of {sample.name}"
        for sample, question in wanted
        if getattr(transcript.answers.get((sample.name, question.number)), "modality", None)
        != question.modality
    ]
    if missing:
        raise ConfigurationError(
            f"history_from: {transcript.run} lacks {len(missing)} of {len(wanted)} answers that histories "
            f"show, the first {missing[0]}; complete that run, or narrow the benchmark to what it answered"
        )


def _turns_before_the_last(samples: Sequence[Sample]) -> Iterator[tuple[Sample, Question]]:
    """The turns whose answers a later turn sees."""
    return ((sample, question) for sample in samples for question in sample.questions[:-1])
