"""What can be executed into the folder of a run, and how a dialogue of it becomes records."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from imug_tts.calls import Brokers, OnCall
from imug_tts.concurrency import gather_all
from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Benchmark,
    Cost,
    JudgeError,
    NoScorer,
    Outcome,
    Record,
    Remote,
    Scope,
    Score,
    TimedOut,
)
from imug_tts.dialogue import Image, Part, Sample

__all__ = ["DialoguePlayer", "Failed", "Work"]


class Failed(NamedTuple):
    """How a turn ends that failed."""

    outcome: Outcome
    error: str
    """In words."""
    detail: Mapping[str, Any]
    """What the record keeps as `score_detail`; empty for nothing."""


@dataclass(frozen=True, kw_only=True)
class Work(ABC):
    """Dialogues that become the records of one folder."""

    folder: Path
    config: Mapping[str, Any]
    """The whole configuration, kept beside the records; no secrets."""
    title: str = ""
    """What a person reads while it goes on; by default the folder's name."""

    @property
    @abstractmethod
    def samples(self) -> Sequence[Sample]: ...

    @property
    @abstractmethod
    def models(self) -> Mapping[str, Backbone]:
        """Every model that may be asked, by its place."""

    @abstractmethod
    def check(self) -> None:
        """Check that it can work, before any compute.

        Raises:
            ConfigurationError: with the reason and what to change.
        """

    @abstractmethod
    def manifest(self) -> dict[str, Any]:
        """What `manifest.json` holds, apart from the folder's name, versions and planned dialogues."""

    def to_probe(self) -> Sequence[Remote]:
        """The models whose servers draw for it, to be probed before it begins."""
        return ()

    def least_calls(self) -> int | None:
        """The calls that answering needs at least; None if that is not known."""
        return None

    @abstractmethod
    def player(self, sample: Sample, brokers: Brokers, on_call: OnCall) -> DialoguePlayer:
        """Whoever turns one dialogue into records."""

    def keeps(self, sample: Sample, records: Sequence[Record]) -> bool:
        """Whether records that an earlier invocation wrote for a dialogue still hold."""
        del sample, records
        return True


class DialoguePlayer(ABC):
    """Makes the records of one dialogue."""

    def __init__(self, sample: Sample, benchmark: Benchmark) -> None:
        self._sample = sample
        self._benchmark = benchmark
        self.images: list[Image] = []
        """Every image that the records name."""
        self.spent = Cost()
        """What was asked of the models; the rest came from the journal."""
        self.log: list[str] = []
        """The failures, each with its traceback."""

    @abstractmethod
    async def play(self) -> list[Record]: ...

    async def _score(
        self, outputs: Sequence[Part], earlier: Sequence[Part | None], scope: Scope
    ) -> dict[Part, Score]:
        """Score the answer to a turn, the first of `outputs`, and others that were considered for it.

        A scorer that fails on an output that was not chosen leaves that output without a score.

        Raises:
            JudgeError: the answer has no score.
        """
        scores: dict[Part, Score] = {}
        failures: dict[Part, JudgeError] = {}

        async def score(output: Part) -> None:
            try:
                scores[output] = await self._benchmark.score(self._sample, [*earlier, output], scope)
            except JudgeError as error:
                failures[output] = error

        await gather_all(map(score, outputs))
        if outputs[0] in failures:
            raise failures[outputs[0]]
        return scores

    def _failed(self, number: int, failure: BackboneError | JudgeError) -> Failed:
        """How a turn ends that failed; the traceback goes into the log."""
        if not isinstance(failure, NoScorer):
            told = "".join(traceback.format_exception(failure))
            self.log.append(f"turn {number} of {self._sample.name}: {told}")
        detail = failure.detail if isinstance(failure, JudgeError) else {}
        return Failed(_outcome_of(failure), f"{type(failure).__name__}: {failure}", detail)


def _outcome_of(failure: BackboneError | JudgeError) -> Outcome:
    if isinstance(failure, JudgeError):
        return "unscored" if isinstance(failure, NoScorer) else "judge_error"
    return "timed_out" if isinstance(failure, TimedOut) else "model_error"
