"""Rescoring: write the records of an existing run again, with the scores of another scorer or rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from imug_tts.calls import Brokers, Budget, OnCall, TurnScope
from imug_tts.contracts import (
    Backbone,
    Benchmark,
    ConfigurationError,
    Cost,
    JudgeError,
    Record,
    Scope,
    Score,
    stored_responses,
)
from imug_tts.dialogue import Image, Part, Question, Sample, Turn
from imug_tts.records import arm_key
from imug_tts.registry import describe, model_identity, selection
from imug_tts.runs.limits import all_caveats
from imug_tts.runs.source import Source
from imug_tts.runs.turn_records import rescored_record
from imug_tts.runs.work import DialoguePlayer, Work

__all__ = ["Rescoring"]


@dataclass(frozen=True, kw_only=True)
class Rescoring(Work):
    """Existing answers (`source`), with the benchmark and the scorer that score them.

    The records are those of the source with other scores. Strategy, history, seed and generation costs stay
    the same, so a run that was rescored belongs to the same arm as one that was scored when it was played.
    """

    source: Source
    benchmark: Benchmark
    scorer: Backbone | None = None
    score_candidates: bool = True
    """Whether all outputs that a strategy considered are scored; False: only the answer."""

    @cached_property
    def samples(self) -> Sequence[Sample]:
        """The dialogues of the benchmark that were planned in the source."""
        return [sample for sample in self.benchmark.samples() if sample.name in self.source.planned]

    @cached_property
    def models(self) -> Mapping[str, Backbone]:
        return {} if self.scorer is None else {"scorer": self.scorer}

    @property
    def components(self) -> Sequence[object]:
        return (self.benchmark, *self.models.values())

    def check(self) -> None:
        """Check that the source answered the same benchmark and data.

        Raises:
            ConfigurationError: the source answered another benchmark, other data, or none of these dialogues.
        """
        answered, here = self.source.manifest.benchmark, self.benchmark.identity
        if answered != here:
            raise ConfigurationError(
                f"{self.source.manifest.run} answered the benchmark {answered}, but this one is {here}; "
                "name the benchmark and data of that run, e.g. benchmark=imug benchmark.root=DIR"
            )
        if not self.samples:
            raise ConfigurationError(
                f"{self.source.manifest.run} answered none of the dialogues that the benchmark has under "
                "these settings; widen its filters"
            )

    def manifest(self) -> dict[str, Any]:
        source = self.source.manifest
        arm, chosen = self._arm_identity, {**source.selection, **selection(self.benchmark)}
        axes = {"history": source.history, "history_from": source.history_from or None, "seed": source.seed}
        models = {place: model for place, model in source.models.items() if place != "scorer"}
        return {
            "arm": arm_key(source.strategy, arm),
            "strategy": source.strategy,
            "oracle": source.oracle,
            **axes,
            "benchmark": self.benchmark.identity,
            "backbone": source.backbone,
            "models": {**models, **{place: model_identity(model) for place, model in self.models.items()}},
            "judges": list(source.judges),
            "caveats": {**source.caveats, **all_caveats(self.models.values())},
            "training": source.training,
            "identity": {**arm, "selection": chosen, **axes},
            "arm_identity": arm,
            "selection": chosen,
        }

    @property
    def _arm_identity(self) -> dict[str, Any]:
        """The arm identity of the source with this scorer and benchmark. Version 0.1 stored the scorer under
        other keys, which are dropped.
        """
        stored = self.source.manifest.arm_identity
        kept = {key: value for key, value in stored.items() if key not in ("scorer", "scoring")}
        roles = {role: model for role, model in stored.get("roles", {}).items() if model and role != "scorer"}
        scorer = {place: describe(model) for place, model in self.models.items()}
        return {
            **kept,
            "roles": {**roles, **scorer},
            "benchmark": describe(self.benchmark, selects=False),
            "score_candidates": self.score_candidates,
        }

    def player(self, sample: Sample, brokers: Brokers, on_call: OnCall) -> DialoguePlayer:
        return Rescorer(self, sample, brokers, on_call)

    def keeps(self, sample: Sample, records: Sequence[Record]) -> bool:
        """Return whether `records` have the same responses as the source."""
        there = [_unscored(record) for record in self.source.records(sample)]
        return there == [_unscored(record) for record in records]


class Rescorer(DialoguePlayer):
    """Scores the answered turns of one dialogue. Records of turns without an answer are not changed."""

    def __init__(self, rescoring: Rescoring, sample: Sample, brokers: Brokers, on_call: OnCall) -> None:
        super().__init__(sample, rescoring.benchmark)
        self._rescoring = rescoring
        self._brokers = brokers
        self._on_call = on_call
        self._stored = rescoring.source.records(sample)
        self._answers = {record["turn"]: self._answer(record) for record in self._stored}

    async def play(self) -> list[Record]:
        return [await self._turn(record) for record in self._stored]

    async def _turn(self, record: Record) -> Record:
        question = self._question(record)
        self._keep_images(question, record)
        if self._answers[question.number] is None:
            return record
        scope = self._scope(question)
        failed, scores = None, dict[Part, Score]()
        try:
            scores = await self.score(record, scope)
        except JudgeError as failure:
            failed = self._failed(question.number, failure)
        self.spent += scope.ledger.spent()
        return rescored_record(
            record,
            outcome="scored" if failed is None else failed.outcome,
            error=None if failed is None else failed.error,
            error_detail={} if failed is None else failed.detail,
            scores=scores,
            cost=scope.ledger.costs()["scorer"],
        )

    async def score(self, record: Record, scope: Scope) -> dict[Part, Score]:
        """Return the scores of a turn's answer and candidates; empty for a turn without an answer.

        Raises:
            JudgeError: the answer has no score.
        """
        question = self._question(record)
        answer = self._answers[question.number]
        if answer is None:
            return {}
        considered = self._outputs(record) if self._rescoring.score_candidates else ()
        earlier = [self._shown(number) for number in range(1, question.number)]
        return await self._score(list(dict.fromkeys([answer, *considered])), earlier, scope)

    def _question(self, record: Record) -> Question:
        number: int = record["turn"]
        return self._sample.questions[number - 1]

    def _scope(self, question: Question) -> TurnScope:
        """Return the scope in which a run scores this turn, so that the scorer's calls have the same
        identity.
        """
        turn = Turn(self._sample.name, question.number, question.modality, ())
        root = TurnScope.root(
            models={"scorer": self._rescoring.scorer} if self._rescoring.scorer else {},
            brokers=self._brokers,
            run_seed=0,
            turn=turn,
            budget=Budget(),
            on_call=self._on_call,
        )
        return root.as_scorer()

    def _answer(self, record: Record) -> Part | None:
        output = None if record["response"] is None else record["response"]["output"]
        return None if output is None else self._rescoring.source.part(output)

    def _outputs(self, record: Record) -> list[Part]:
        """Return all outputs in a record's tree of responses, including the answer."""
        nodes = stored_responses(record["response"])
        return [self._rescoring.source.part(node["output"]) for node in nodes if node["output"] is not None]

    def _shown(self, number: int) -> Part | None:
        """Return the output that the history of later turns shows as the answer to turn `number`."""
        source = self._rescoring.source
        if source.transcript is not None:
            return source.transcript.answers.get((self._sample.name, number))
        if source.manifest.history == "gold":
            return self._benchmark.reference(self._sample, number)
        return self._answers.get(number)

    def _keep_images(self, question: Question, record: Record) -> None:
        reference = None
        if record["reference"] is not None:
            reference = self._benchmark.reference(self._sample, question.number)
        shown = (*question.parts, *self._outputs(record), reference)
        self.images.extend(part for part in shown if isinstance(part, Image))


def _unscored(record: Record) -> tuple[Any, ...]:
    """Return a record without scores: the turn's number, and the response or the error."""
    if record["response"] is None:
        return record["turn"], record["outcome"], record["error"]
    unscored = rescored_record(
        record, outcome="unscored", error=None, error_detail={}, scores={}, cost=Cost()
    )
    return record["turn"], unscored["response"]
