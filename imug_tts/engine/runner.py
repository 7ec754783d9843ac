"""Runs the dialogues of an arm: one coroutine each, one record a turn."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from imug_tts.contracts import (
    MODEL_ROLES,
    Backbone,
    BackboneError,
    Benchmark,
    ConfigurationError,
    Cost,
    JudgeError,
    ModelRole,
    Outcome,
    Score,
    Strategy,
    TimedOut,
)
from imug_tts.dialogue import Image, Message, Part, Question, Response, Sample, Text, Turn
from imug_tts.engine.broker import Broker
from imug_tts.engine.journal import Journal
from imug_tts.engine.records import images_of, turn_record
from imug_tts.engine.scope import Budget, TurnScope
from imug_tts.engine.store import RunStore
from imug_tts.strategies import check_composition
from imug_tts.tracking import Tracker

__all__ = ["Arm", "History", "Session", "check", "run_dialogues"]

History = Literal["own", "gold"]
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One cell of a study: who answers which dialogues, how, and on which history."""

    backbone: Backbone
    strategy: Strategy
    benchmark: Benchmark
    roles: Mapping[ModelRole, Backbone] = field(default_factory=dict)
    """Other models than `backbone` for the planner or the verifier."""
    history: History = "own"
    """Whose outputs earlier turns show: the model's own, or the reference outputs."""
    seed: int = 0
    budget: Budget = field(default_factory=Budget)

    @property
    def models(self) -> dict[ModelRole, Backbone]:
        return {**dict.fromkeys(MODEL_ROLES, self.backbone), **self.roles}


def check(arm: Arm) -> None:
    """Check that the arm can work, before any compute.

    Raises:
        ConfigurationError: with the reason and what to change.
    """
    if arm.history not in ("own", "gold"):
        raise ConfigurationError(f"history is {arm.history!r}; it must be own or gold")
    samples = arm.benchmark.samples()
    if not samples:
        raise ConfigurationError("the benchmark has no samples under these settings; widen its filters")
    posed = {question.modality for sample in samples for question in sample.questions}
    capabilities = {role: model.capabilities for role, model in arm.models.items()}
    check_composition(arm.strategy, capabilities, posed)
    if arm.history == "gold":
        _check_references(arm.benchmark, samples[0])


def _check_references(benchmark: Benchmark, sample: Sample) -> None:
    for question in sample.questions:
        if benchmark.reference(sample, question.number) is None:
            raise ConfigurationError(
                f"history=gold needs reference outputs, and turn {question.number} of {sample.name} "
                "has none; use history=own"
            )


class Dialogue:
    """Plays one sample from its first turn to its last, or to the first that fails."""

    def __init__(self, arm: Arm, sample: Sample, brokers: Mapping[ModelRole, Broker]) -> None:
        self._arm = arm
        self._sample = sample
        self._brokers = brokers
        self._history: list[Message] = []
        self._outputs: list[Part] = []
        self.images: list[Image] = []
        """Every image that the records name."""

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


@dataclass
class Session:
    """What one start of a run did."""

    spent: Cost = field(default_factory=Cost)
    calls_replayed: int = 0
    seconds: float = 0.0
    interrupted: bool = False


async def run_dialogues(
    arm: Arm,
    journal: Journal,
    tracker: Tracker,
    store: RunStore,
    samples: Sequence[Sample],
    in_flight: int,
) -> Session:
    """Play every dialogue that the store does not have, `in_flight` at a time.

    On the first SIGINT or SIGTERM the batch in flight is finished and journaled, and the session
    comes back interrupted; on the second the process ends at once.

    Raises:
        StorageError: the output cannot be written.
    """
    by_model = {id(model): Broker(model, journal) for model in arm.models.values()}
    brokers = {role: by_model[id(model)] for role, model in arm.models.items()}
    todo = iter([index for index in range(len(samples)) if index not in store.records])
    started = time.perf_counter()

    async def work() -> None:
        for index in todo:  # the workers share one iterator
            dialogue = Dialogue(arm, samples[index], brokers)
            records = await dialogue.play()
            store.keep_images(dialogue.images, journal)
            store.add(index, records)
            for record in records:
                tracker.turn(record, replayed=False)

    session = Session()
    workers = [asyncio.create_task(work()) for _ in range(in_flight)]
    with _stop_signals(workers, session):
        try:
            await asyncio.gather(*workers)
        except asyncio.CancelledError:
            if not session.interrupted:
                raise
        finally:
            for worker in workers:
                worker.cancel()
            for broker in by_model.values():
                await broker.stop()
    session.spent = sum((broker.spent for broker in by_model.values()), Cost())
    session.calls_replayed = sum(broker.replayed for broker in by_model.values())
    session.seconds = time.perf_counter() - started
    return session


@contextmanager
def _stop_signals(workers: Sequence[asyncio.Task[None]], session: Session) -> Iterator[None]:
    """Cancel the workers at the first SIGINT or SIGTERM; end the process at the second."""

    def stop() -> None:
        if session.interrupted:
            sys.stderr.write("\nstopped at once; what was journaled is safe\n")
            sys.stderr.flush()
            os._exit(130)
        session.interrupted = True
        sys.stderr.write("\nstopping: the batch in flight is finished and kept (again to stop at once)\n")
        for worker in workers:
            worker.cancel()

    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread's owner
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
