"""Plays one dialogue of an arm: turn by turn, one record each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imug_tts.contracts import BackboneError, Cost, JudgeError, ModelRole, Outcome, Score, TimedOut
from imug_tts.dialogue import Image, Message, Part, Question, Response, Sample, Text, Turn
from imug_tts.engine.arm import Arm
from imug_tts.engine.broker import Broker
from imug_tts.engine.records import images_of, turn_record
from imug_tts.engine.scope import TurnScope

__all__ = ["Player"]

Record = dict[str, Any]


class Player:
    """Plays one sample from its first turn to its last, or to the first that fails."""

    def __init__(self, arm: Arm, sample: Sample, brokers: Mapping[ModelRole, Broker]) -> None:
        self._arm = arm
        self._sample = sample
        self._brokers = brokers
        self._history: list[Message] = []
        self._outputs: list[Part] = []
        self.images: list[Image] = []
        """Every image that the records name."""
        self.spent = Cost()
        """What playing asked of the models; the rest came from the journal."""

    async def play(self) -> list[Record]:
        if self._sample.system_prompt is not None:
            self._history.append(Message("system", (Text(self._sample.system_prompt),)))
        records = []
        for question in self._sample.questions:
            record = await self._turn(question)
            records.append(record)
            if record["outcome"] != "scored":
                break
        return records

    async def _turn(self, question: Question) -> Record:
        arm, sample = self._arm, self._sample
        self._history.append(Message("user", question.parts))
        turn = Turn(sample.name, question.number, question.modality, tuple(self._history))
        scope = TurnScope.root(
            brokers=self._brokers,
            run_seed=arm.seed,
            sample=sample.name,
            turn=question.number,
            modality=question.modality,
            budget=arm.budget,
        )
        response: Response | None = None
        scores: dict[Part, Score] = {}
        error: str | None = None
        outcome: Outcome = "scored"
        try:
            response = await arm.strategy.respond(turn, scope)
            if response.output is None:
                outcome = "refused"
            else:
                scores = await self._score(response)
        except (BackboneError, JudgeError) as failure:
            outcome, error = _outcome_of(failure), f"{type(failure).__name__}: {failure}"
        reference = arm.benchmark.reference(sample, question.number)
        if response is not None and outcome == "scored":
            self._remember(response, reference)
        self._keep_images(question, response, reference)
        self.spent += scope.ledger.spent()
        return turn_record(
            sample=sample,
            question=question,
            outcome=outcome,
            error=error,
            response=response,
            reference=reference,
            scores=scores,
            costs=scope.ledger.costs(),
        )

    async def _score(self, response: Response) -> dict[Part, Score]:
        """Score the answer and, for analysis, every output that was considered."""
        outputs = dict.fromkeys(node.output for node in response.walk() if node.output is not None)
        return {
            output: await self._arm.benchmark.score(self._sample, [*self._outputs, output])
            for output in outputs
        }

    def _remember(self, response: Response, reference: Part | None) -> None:
        if self._arm.history == "gold":
            assert reference is not None, "check() refuses gold history without references"
            left_behind: tuple[Part, ...] = (reference,)
        else:
            left_behind = response.left_behind
        self._history.append(Message("assistant", left_behind))
        self._outputs.append(left_behind[-1])

    def _keep_images(self, question: Question, response: Response | None, reference: Part | None) -> None:
        parts = (*question.parts, reference)
        self.images.extend(part for part in parts if isinstance(part, Image))
        if response is not None:
            self.images.extend(images_of(response))


def _outcome_of(failure: BackboneError | JudgeError) -> Outcome:
    if isinstance(failure, JudgeError):
        return "judge_error"
    return "timed_out" if isinstance(failure, TimedOut) else "model_error"
