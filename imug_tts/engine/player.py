"""Plays one dialogue of an arm: turn by turn, one record each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imug_tts.concurrency import gather_all
from imug_tts.contracts import (
    BackboneError,
    Cost,
    JudgeError,
    ModelRole,
    NoScorer,
    Outcome,
    Scope,
    Score,
    TimedOut,
)
from imug_tts.dialogue import Image, Message, Part, Question, Response, Sample, Text, Turn
from imug_tts.engine.arm import Arm
from imug_tts.engine.broker import Broker
from imug_tts.engine.records import images_of, turn_record
from imug_tts.engine.scope import TurnScope

__all__ = ["Player"]

Record = dict[str, Any]


class Player:
    """Plays one sample from its first turn to its last, or to the first whose answer the next one lacks."""

    def __init__(self, arm: Arm, sample: Sample, brokers: Mapping[ModelRole, Broker]) -> None:
        self._arm = arm
        self._sample = sample
        self._brokers = brokers
        self._history: list[Message] = []
        self._outputs: list[Part | None] = []
        self.images: list[Image] = []
        """Every image that the records name."""
        self.spent = Cost()
        """What playing asked of the models; the rest came from the journal."""

    async def play(self) -> list[Record]:
        if self._sample.system_prompt is not None:
            self._history.append(Message("system", (Text(self._sample.system_prompt),)))
        records = []
        for question in self._sample.questions:
            records.append(await self._turn(question))
            if len(self._outputs) < question.number:
                break
        return records

    async def _turn(self, question: Question) -> Record:
        arm, sample = self._arm, self._sample
        self._history.append(Message("user", question.parts))
        turn = Turn(sample.name, question.number, question.modality, tuple(self._history))
        scope = TurnScope.root(
            brokers=self._brokers,
            run_seed=arm.seed,
            turn=turn,
            budget=arm.budget,
        )
        response: Response | None = None
        scores: dict[Part, Score] = {}
        error: str | None = None
        detail: Mapping[str, Any] = {}
        outcome: Outcome = "scored"
        try:
            response = await arm.strategy.respond(turn, scope)
            if response.output is None:
                outcome = "refused"
            else:
                scores = await self._score(response, scope.as_scorer())
        except (BackboneError, JudgeError) as failure:
            outcome, error = _outcome_of(failure), f"{type(failure).__name__}: {failure}"
            detail = failure.detail if isinstance(failure, JudgeError) else {}
        reference = arm.benchmark.reference(sample, question.number)
        self._remember(question, response, reference)
        self._keep_images(question, response, reference)
        self.spent += scope.ledger.spent()
        return turn_record(
            sample=sample,
            question=question,
            outcome=outcome,
            error=error,
            error_detail=detail,
            response=response,
            reference=reference,
            scores=scores,
            costs=scope.ledger.costs(),
        )

    async def _score(self, response: Response, scope: Scope) -> dict[Part, Score]:
        """Score the answer and, for analysis, every output that was considered."""
        nodes = response.walk() if self._arm.score_candidates else [response]
        outputs = list(dict.fromkeys(node.output for node in nodes if node.output is not None))
        benchmark, sample = self._arm.benchmark, self._sample
        scores = await gather_all(
            benchmark.score(sample, [*self._outputs, output], scope) for output in outputs
        )
        pairs = zip(outputs, scores, strict=True)
        return {output: score for output, score in pairs if isinstance(score, Score)}

    def _remember(self, question: Question, response: Response | None, reference: Part | None) -> None:
        """Put what later turns see behind the question; nothing when the model's own answer is missing."""
        left_behind = self._left_behind(question, response, reference)
        if left_behind:
            self._history.append(Message("assistant", left_behind))
            self._outputs.append(left_behind[-1])
        elif self._arm.history != "own":
            self._outputs.append(None)

    def _left_behind(
        self, question: Question, response: Response | None, reference: Part | None
    ) -> tuple[Part, ...]:
        if self._arm.history == "own":
            return () if response is None or response.output is None else response.left_behind
        shown = reference
        if self._arm.transcript is not None:
            shown = self._arm.transcript.answers.get((self._sample.name, question.number))
        return () if shown is None else (shown,)

    def _keep_images(self, question: Question, response: Response | None, reference: Part | None) -> None:
        parts = (*question.parts, reference)
        self.images.extend(part for part in parts if isinstance(part, Image))
        if response is not None:
            self.images.extend(images_of(response))


def _outcome_of(failure: BackboneError | JudgeError) -> Outcome:
    if isinstance(failure, JudgeError):
        return "unscored" if isinstance(failure, NoScorer) else "judge_error"
    return "timed_out" if isinstance(failure, TimedOut) else "model_error"
