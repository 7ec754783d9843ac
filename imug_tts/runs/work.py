"""Interfaces of work that `execute` writes into a run's folder (`Work`), and of players of its dialogues."""

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
    """The outcome of a failed turn, with the error."""

    outcome: Outcome
    error: str
    """The error message."""
    detail: Mapping[str, Any]
    """The `score_detail` of the record; empty for none."""


@dataclass(frozen=True, kw_only=True)
class Work(ABC):
    """Dialogues whose records are written into one folder."""

    folder: Path
    config: Mapping[str, Any]
    """The whole configuration, which is stored beside the records; it must not contain secrets."""
    title: str = ""
    """Title in progress output; by default the folder's name."""

    @property
    @abstractmethod
    def samples(self) -> Sequence[Sample]: ...

    @property
    @abstractmethod
    def models(self) -> Mapping[str, Backbone]:
        """Every model that may be called, by role or path."""

    @property
    @abstractmethod
    def components(self) -> Sequence[object]:
        """The outermost components that can change a record."""

    @abstractmethod
    def check(self) -> None:
        """Check that the work can be executed, before any compute.

        Raises:
            ConfigurationError: it cannot; the message gives the reason and what to change.
        """

    @abstractmethod
    def manifest(self) -> dict[str, Any]:
        """Return the content of `manifest.json` without folder name, versions and planned dialogues."""

    def to_probe(self) -> Sequence[Remote]:
        """Return the models whose image servers are probed before the work begins."""
        return ()

    def least_calls(self) -> int | None:
        """Return the least number of calls that the answers need; None if it is unknown."""
        return None

    @abstractmethod
    def player(self, sample: Sample, brokers: Brokers, on_call: OnCall) -> DialoguePlayer:
        """Return the player that produces the records of one dialogue."""

    def keeps(self, sample: Sample, records: Sequence[Record]) -> bool:
        """Return whether records that an earlier invocation wrote for a dialogue are still valid."""
        del sample, records
        return True


class DialoguePlayer(ABC):
    """Produces the records of one dialogue."""

    def __init__(self, sample: Sample, benchmark: Benchmark) -> None:
        self._sample = sample
        self._benchmark = benchmark
        self.images: list[Image] = []
        """All images that the records name."""
        self.spent = Cost()
        """Cost of the calls that models answered, not the journal."""
        self.log: list[str] = []
        """One entry for each failure, with its traceback."""

    @abstractmethod
    async def play(self) -> list[Record]: ...

    async def _score(
        self, outputs: Sequence[Part], earlier: Sequence[Part | None], scope: Scope
    ) -> dict[Part, Score]:
        """Return the scores of `outputs`: the answer to a turn, then other outputs that were considered.

        If the scorer fails on an output other than the answer, that output has no score.

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
        """Return the outcome of a failed turn, and append its traceback to the log."""
        if not isinstance(failure, NoScorer):
            trace = "".join(traceback.format_exception(failure))
            self.log.append(f"turn {number} of {self._sample.name}: {trace}")
        detail = failure.detail if isinstance(failure, JudgeError) else {}
        return Failed(_outcome_of(failure), f"{type(failure).__name__}: {failure}", detail)


def _outcome_of(failure: BackboneError | JudgeError) -> Outcome:
    if isinstance(failure, JudgeError):
        return "unscored" if isinstance(failure, NoScorer) else "judge_error"
    return "timed_out" if isinstance(failure, TimedOut) else "model_error"
