"""The benchmark interface: dialogues, their reference outputs, and how a turn is scored."""

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
    """A turn's score in [0, 1], and the details behind the number as plain JSON values."""

    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)


class Benchmark(ABC):
    """A set of dialogues with reference outputs and a scoring rule."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """The name of the benchmark and the version or hash of its data, as one string."""

    @abstractmethod
    def samples(self) -> Sequence[Sample]: ...

    def reference(self, sample: Sample, number: int) -> Part | None:
        """Return the reference output of turn `number`, for teacher forcing; None if there is none."""
        del sample, number
        return None

    @abstractmethod
    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        """Return the score of the last of `outputs`, which are the answers to turns 1..len(outputs).

        An output of a previous turn is None if that turn has no answer. The scoring model, if one is needed,
        is called through `scope` in the role "scorer".

        Raises:
            NoScorer: the score needs a scoring model, and the run has none.
            JudgeError: the call to the scoring model failed, or an output of a previous turn that it must see
                is missing.
        """

    def needs_scorer(self) -> bool:
        """Return whether a model scores any of the turns; without a scoring model such turns get no score."""
        return False
