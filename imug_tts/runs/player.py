"""Play one dialogue of an arm, turn by turn, with one record for each turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from imug_tts.calls import Brokers, OnCall, TurnScope
from imug_tts.contracts import BackboneError, JudgeError, Outcome, Record, Score
from imug_tts.dialogue import Image, Message, Part, Question, Response, Sample, Text, Turn
from imug_tts.runs.arm import Arm
from imug_tts.runs.turn_records import images_of, turn_record
from imug_tts.runs.work import DialoguePlayer

__all__ = ["Player"]


class _TurnResult(NamedTuple):
    """The outcome of a turn, with its response and scores."""

    outcome: Outcome
    response: Response | None = None
    scores: dict[Part, Score] | None = None
    error: str | None = None
    detail: Mapping[str, Any] = MappingProxyType({})
    """Details that a judge's failure adds to the record."""


class Player(DialoguePlayer):
    """Plays the dialogue of one sample turn by turn. Stops after a turn without an answer that later turns
    need.
    """

    def __init__(
        self,
        arm: Arm,
        sample: Sample,
        brokers: Brokers,
        on_call: OnCall = lambda role, model, modality: None,
    ) -> None:
        """Create a player; `on_call` is called after every call that the journal did not answer."""
        super().__init__(sample, arm.benchmark)
        self._arm = arm
        self._brokers = brokers
        self._on_call = on_call
        self._history: list[Message] = []
        self._outputs: list[Part | None] = []

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
            models=arm.models,
            brokers=self._brokers,
            run_seed=arm.seed,
            turn=turn,
            budget=arm.budget,
            on_call=self._on_call,
        )
        played = await self._play(turn, scope)
        reference = arm.benchmark.reference(sample, question.number)
        self._remember(question, played.response, reference)
        self._keep_images(question, played.response, reference)
        self.spent += scope.ledger.spent()
        return turn_record(
            sample=sample,
            question=question,
            outcome=played.outcome,
            error=played.error,
            error_detail=played.detail,
            response=played.response,
            reference=reference,
            scores=played.scores or {},
            costs=scope.ledger.costs(),
        )

    async def _play(self, turn: Turn, scope: TurnScope) -> _TurnResult:
        response: Response | None = None
        try:
            response = await self._arm.strategy.respond(turn, scope)
            if response.output is None:
                return _TurnResult("refused", response, error=response.reason)
            scores = await self._score(
                self._considered(response.output, response), self._outputs, scope.as_scorer()
            )
            return _TurnResult("scored", response, scores)
        except (BackboneError, JudgeError) as failure:
            failed = self._failed(turn.number, failure)
            return _TurnResult(failed.outcome, response, error=failed.error, detail=failed.detail)

    def _considered(self, answer: Part, response: Response) -> Sequence[Part]:
        """Return the answer and, if candidates are scored too, every other output in the response."""
        nodes = response.walk() if self._arm.score_candidates else ()
        others = [node.output for node in nodes if node.output is not None]
        return list(dict.fromkeys([answer, *others]))

    def _remember(self, question: Question, response: Response | None, reference: Part | None) -> None:
        """Append the output that later turns see to the history; nothing if there is no output."""
        history_parts = self._history_parts(question, response, reference)
        if history_parts:
            self._history.append(Message("assistant", history_parts))
            self._outputs.append(history_parts[-1])
        elif self._arm.history != "own":
            self._outputs.append(None)

    def _history_parts(
        self, question: Question, response: Response | None, reference: Part | None
    ) -> tuple[Part, ...]:
        if self._arm.history == "own":
            return () if response is None or response.output is None else response.history_parts
        shown = reference
        if self._arm.transcript is not None:
            shown = self._arm.transcript.answers.get((self._sample.name, question.number))
        return () if shown is None else (shown,)

    def _keep_images(self, question: Question, response: Response | None, reference: Part | None) -> None:
        parts = (*question.parts, reference)
        self.images.extend(part for part in parts if isinstance(part, Image))
        if response is not None:
            self.images.extend(images_of(response))
