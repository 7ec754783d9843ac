"""Dry runs: estimate the calls of a run by playing its turns with stand-ins in place of the models.

The calls of a strategy depend on the replies: for example, it stops when its verifier accepts. So each kind
of turn is played twice, with a verifier that accepts at once and with one that never accepts. The estimate is
a range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from imug_tts.calls import BrokerClient, Brokers, Call, Journal, TurnScope
from imug_tts.concurrency import run_blocking
from imug_tts.contracts import (
    Backbone,
    Candidate,
    Capabilities,
    ConfigurationError,
    Form,
    JudgeError,
    ModelRole,
    Remote,
    Request,
    Sampling,
)
from imug_tts.dialogue import Image, Message, Modality, Part, Sample, Text, Turn
from imug_tts.prompts import load
from imug_tts.registry import model_identity
from imug_tts.runs.arm import Arm

__all__ = ["CallKind", "Plan", "RecordingScope", "least_calls", "plan_arm"]

_NOBODY: Final = "nobody"
_FEW: Final = f"1. Is it as {_NOBODY} says? Yes."
_MANY: Final = "\n".join(
    [f"1. Is it as {_NOBODY} says? No.", *(f"{n}. Is thing {n} as it should be? No." for n in range(2, 1001))]
)
"""A checklist that also answers its questions. The seed replaces "nobody": texts of different seeds differ,
and so do the calls that depend on them.
"""


class CallKind(NamedTuple):
    """The role of a call, and the identity of the called model."""

    role: ModelRole
    model: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Estimated calls, images and dollars of a run, for one behaviour of its verifiers."""

    calls: Mapping[CallKind, int]
    images: int
    dollars: float
    """Price of the calls to models with a configured price."""
    sent: Mapping[str, int]
    """Images sent to each model except the scorer, by its identity. Estimated as if the history of each turn
    were that of the first turn with its modality."""


def plan_arm(arm: Arm) -> tuple[Plan, Plan]:
    """Return two estimates of an arm's calls, without calling a model: every verifier accepts at once, or
    none ever accepts.
    """
    return run_blocking(_plan(arm, accepts=True)), run_blocking(_plan(arm, accepts=False))


def least_calls(arm: Arm) -> int | None:
    """Return the number of calls if every verifier accepts at once; None if it cannot be estimated.

    Calls of the scorer are not counted, because counting them would require scoring every turn.
    """
    turns = _turns(arm)

    async def count() -> int:
        played = [(await _play(arm, modality, accepts=True)).calls.total() for modality in turns]
        return sum(times * calls for times, calls in zip(turns.values(), played, strict=True))

    try:
        return run_blocking(count())
    except Exception:  # a plugin may fail on placeholder answers, although it works on real ones
        return None


def _turns(arm: Arm) -> Counter[Modality]:
    """Return the number of turns by modality."""
    return Counter(q.modality for sample in arm.benchmark.samples() for q in sample.questions)


async def _plan(arm: Arm, accepts: bool) -> Plan:
    samples = arm.benchmark.samples()
    turns = _turns(arm)
    calls: Counter[CallKind] = Counter()
    sent: Counter[str] = Counter()
    images, outputs = 0, {"text": 0, "image": 0}
    for modality, count in turns.items():
        played = await _play(arm, modality, accepts)
        outputs[modality] = played.considered if arm.score_candidates else 1
        images += count * played.images
        calls.update({asked: count * times for asked, times in played.calls.items()})
        sent.update({model: count * shown for model, shown in played.sent.items()})
    if "scorer" in arm.roles:
        scorer = CallKind("scorer", model_identity(arm.roles["scorer"]))
        for modality, count in (await _judged(arm, samples)).items():
            calls[scorer] += count * outputs[modality]
    prices = {
        model_identity(model): model.dollars_per_call
        for model in arm.all_models.values()
        if isinstance(model, Remote)
    }
    dollars = sum(count * prices.get(asked.model, 0.0) for asked, count in calls.items())
    return Plan(calls=calls, images=images, dollars=dollars, sent=sent)


class _DryTurn(NamedTuple):
    """Counts for one turn: calls by kind, images drawn, distinct outputs considered, and images sent."""

    calls: Counter[CallKind]
    images: int
    considered: int
    sent: Counter[str]
    """Images in the requests to each model, by its identity."""


async def _play(arm: Arm, modality: Modality, accepts: bool) -> _DryTurn:
    calls: Counter[CallKind] = Counter()
    drawn: Counter[Modality] = Counter()

    def count(role: ModelRole, model: Backbone, modality: Modality) -> None:
        calls[CallKind(role, model_identity(model))] += 1
        drawn[modality] += 1

    brokers = _StandIns(accepts)
    turn = _first_turn(arm.benchmark.samples(), modality)
    scope = TurnScope.root(
        models=arm.models, brokers=brokers, run_seed=0, turn=turn, budget=arm.budget, on_call=count
    )
    try:
        response = await arm.strategy.respond(turn, scope)
    except JudgeError as error:
        raise ConfigurationError(f"a dry run of this strategy needs its scorer: {error}") from error
    finally:
        await brokers.stop()
    considered = {node.output for node in response.walk() if node.output is not None}
    return _DryTurn(calls, drawn["image"], len(considered), brokers.sent)


def _first_turn(samples: Sequence[Sample], modality: Modality) -> Turn:
    """Return the first turn of a modality in the benchmark, with placeholder answers to the turns before
    it.
    """
    sample, last = next((s, q) for s in samples for q in s.questions if q.modality == modality)
    history: list[Message] = []
    for question in sample.questions[: last.number]:
        answer = Message("assistant", (_answer(question.modality, 0),))
        history += [Message("user", question.parts), answer]
    return Turn(sample.name, last.number, modality, tuple(history[:-1]))


async def _judged(arm: Arm, samples: Sequence[Sample]) -> Counter[Modality]:
    """Return the number of turns by modality whose score calls the scorer."""
    judged: Counter[Modality] = Counter()
    prompts = load(arm.roles["scorer"].capabilities.prompts)
    for sample in samples:
        outputs: list[Part | None] = []
        for question in sample.questions:
            outputs.append(_answer(question.modality, 0))
            scope = RecordingScope(prompts)
            with suppress(JudgeError):
                await arm.benchmark.score(sample, outputs, scope)
            judged[question.modality] += bool(scope.calls)
    return judged


class _StandIns(Brokers):
    """Brokers that call a stand-in for each model."""

    def __init__(self, accepts: bool) -> None:
        super().__init__(Journal())
        self._accepts = accepts
        self._stand_ins: dict[int, _StandIn] = {}
        self.sent: Counter[str] = Counter()

    def of(self, model: Backbone) -> BrokerClient:
        stand_in = self._stand_ins.get(id(model))
        if stand_in is None:
            stand_in = self._stand_ins[id(model)] = _StandIn(model, self._accepts, self.sent)
        return super().of(stand_in)


class _StandIn(Backbone):
    """A backbone that answers with placeholders. As a verifier, it accepts always or never."""

    def __init__(self, model: Backbone, accepts: bool, sent: Counter[str]) -> None:
        self._model = model
        self._accepts = accepts
        self._sent = sent

    @property
    def identity(self) -> str:
        return self._model.identity

    @property
    def capabilities(self) -> Capabilities:
        return replace(self._model.capabilities, max_batch=1, concurrent_batches=1)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        for request in requests:
            shown = [part for message in request.history for part in message.parts if isinstance(part, Image)]
            self._sent[model_identity(self._model)] += len(shown) * len(request.seeds)
        return [[self._candidate(request, seed) for seed in request.seeds] for request in requests]

    def _candidate(self, request: Request, seed: int) -> Candidate:
        if request.form == "yes_no":
            return Candidate(output=Text("yes" if self._accepts else "no"), p_yes=float(self._accepts))
        if request.form == "reward":
            return Candidate(output=Text("reward"), reward=float(self._accepts))
        text = (_FEW if self._accepts else _MANY).replace(_NOBODY, str(seed))
        output = _answer("image", seed) if request.modality == "image" else Text(text)
        return Candidate(output=output)


class RecordingScope:
    """A scope that records the calls made through it and answers each with JudgeError."""

    def __init__(self, prompts: Mapping[str, str], seed: int = 0) -> None:
        self._prompts = prompts
        self.seed = seed
        self.calls: list[Call] = []

    def prompts(self, role: ModelRole, model: Backbone | None = None) -> Mapping[str, str]:
        return self._prompts

    def child(self, index: int) -> RecordingScope:
        return self

    def split(self, n: int) -> Sequence[RecordingScope]:
        return [self] * n

    def as_scorer(self, turn: int | None = None) -> RecordingScope:
        return self

    async def ask(
        self,
        role: ModelRole,
        history: tuple[Message, ...],
        modality: Modality,
        sampling: Sampling,
        *,
        form: Form = "free",
        model: Backbone | None = None,
    ) -> Candidate:
        self.calls.append(Call(history, modality, self.seed, sampling, form))
        raise JudgeError("this is a dry run")


@cache
def _answer(modality: Modality, seed: int) -> Part:
    """Return a placeholder answer; images of different seeds differ."""
    if modality == "text":
        return Text("A")
    shade = np.frombuffer(seed.to_bytes(8, "big"), np.uint8)
    return Image.from_pixels(np.resize(shade, (64, 64, 3)))
