"""The configuration of one run of a study (`Arm`), its identity, and the check that it can run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imug_tts.calls.budget import Budget
from imug_tts.composition import all_models, check_composition, judges, roles_asked, with_members
from imug_tts.contracts import (
    Backbone,
    Benchmark,
    ConfigurationError,
    History,
    Judge,
    ModelRole,
    Strategy,
    models_by_role,
)
from imug_tts.dialogue import Question, Sample
from imug_tts.records import digest
from imug_tts.registry import describe, model_identity, selection
from imug_tts.runs.transcript import Transcript

__all__ = ["Arm", "check", "judge_identity"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The configuration of one run: models, strategy, benchmark, history and seed."""

    backbone: Backbone
    strategy: Strategy
    benchmark: Benchmark
    roles: Mapping[ModelRole, Backbone] = field(default_factory=dict)
    """The scoring model, and models of planner and verifier if these are not `backbone`."""
    history: History = "own"
    transcript: Transcript | None = None
    """The outputs of the other run, for history="swap"."""
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    score_candidates: bool = True
    """Whether all outputs that a strategy considered are scored; False: only the answer."""

    @property
    def models(self) -> dict[ModelRole, Backbone]:
        """The run's model of each role; only a scorer may be missing."""
        return models_by_role(self.backbone, self.roles)

    @property
    def all_models(self) -> dict[str, Backbone]:
        """Every model that may be called, by role or by the path of the judge or layer that owns it."""
        return all_models(self.strategy, self.models)

    @property
    def own_identity(self) -> dict[str, Any]:
        """The configuration of the arm without history, seed and selection of dialogues, as plain values."""
        asked = roles_asked(self.strategy) | {"scorer"}
        return {
            "backbone": describe(self.backbone),
            "strategy": describe(self.strategy),
            "roles": {str(r): describe(m) for r, m in sorted(self.roles.items()) if r in asked},
            "benchmark": describe(self.benchmark, selects=False),
            "budget": describe(self.budget),
            "score_candidates": self.score_candidates,
        }

    @property
    def selection(self) -> dict[str, Any]:
        """The knobs that select dialogues and are not at their defaults."""
        return selection(self.benchmark)

    @property
    def identity(self) -> dict[str, Any]:
        """The configuration that identifies a run, as plain values. If a value changes, it is another run."""
        return {
            **self.own_identity,
            "selection": self.selection,
            "history": self.history,
            "history_from": None if self.transcript is None else self.transcript.identity,
            "seed": self.seed,
        }

    @property
    def judges(self) -> list[dict[str, Any]]:
        """The judges inside the strategy, as the manifest stores them."""
        return [
            {
                "place": place.path,
                "layer": place.layer.name,
                "use": place.use,
                "judge": place.judge.name,
                "kind": place.judge.kind,
                "identity": judge_identity(place.judge, self.models),
                "models": _models_of(place.judge, self.models),
            }
            for place in judges(self.strategy)
        ]


def judge_identity(judge: Judge, models: Mapping[ModelRole, Backbone]) -> str:
    """Return a hash over the knobs of a judge and its models, 16 hexadecimal digits."""
    asked = {path: _models_of(each, models) for path, each in with_members(judge)}
    return digest({"judge": describe(judge), "models": asked})[:16]


def _models_of(judge: Judge, models: Mapping[ModelRole, Backbone]) -> dict[str, str]:
    """Return the identities of the models that a judge calls, by role."""
    return {str(role): model_identity(model or models[role]) for role, model in judge.models.items()}


def check(arm: Arm) -> None:
    """Check that the arm can run, before any compute.

    Raises:
        ConfigurationError: the arm cannot run; the message gives the reason and what to change.
    """
    samples = arm.benchmark.samples()
    if not samples:
        raise ConfigurationError("the benchmark has no samples under these settings; widen its filters")
    posed = {question.modality for sample in samples for question in sample.questions}
    check_composition(arm.strategy, arm.models, posed)
    if arm.history == "gold":
        _check_references(arm.benchmark, samples)
    elif arm.history == "swap":
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
            f"history_from: {transcript.run} answered {transcript.benchmark}, but this run answers "
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
    """Yield the turns whose outputs a later turn sees, each with its sample."""
    return ((sample, question) for sample in samples for question in sample.questions[:-1])
