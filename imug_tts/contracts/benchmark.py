"""Benchmarks: dialogues, their references, and their scorer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imug_tts.contracts.strategy import Scope
from imug_tts.dialogue import Part, Sample

__all__ = ["Benchmark", "Score"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """A turn's score in [0, 1] and what it is made of, all plain JSON values."""

    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)


class Benchmark(ABC):
    """Dialogues, their references, and their scorer."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Names the benchmark and the version or hash of its data."""

    @abstractmethod
    def samples(self) -> Sequence[Sample]: ...

    def reference(self, sample: Sample, number: int) -> Part | None:
        """The reference output of turn `number`, for teacher forcing; None where there is none."""
        del sample, number
        return None

    @abstractmethod
    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        """Score the last of `outputs`, the answers to turns 1..len(outputs).

        Earlier outputs may be None where a turn has no answer. A judge model is asked through `scope`, in
        the role "scorer".

        Raises:
            NoScorer: the score needs a judge model, and the run has none.
            JudgeError: the scoring judge failed, or an earlier output that it must see is missing.
        """

    def needs_scorer(self) -> bool:
        """Whether any turn is scored by a model, so that without one its score is missing."""
        return False
