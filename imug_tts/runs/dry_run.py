"""What a run would ask of its models, estimated by playing its turns with a stand-in for every model.

What a strategy asks depends on the replies: it stops when its verifier accepts. So each kind of turn is
played twice, with a verifier that accepts at once and with one that never does, and the plan is a range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from imug_tts.calls import Brokers, Call, Desk, Journal, TurnScope
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

__all__ = ["Asked", "MuteScope", "Plan", "least_calls", "plan_arm"]

_NOBODY: Final = "nobody"
_FEW: Final = f"1. Is it as {_NOBODY} says? Yes."
_MANY: Final = "\n".join(
    [f"1. Is it as {_NOBODY} says? No.", *(f"{n}. Is thing {n} as it should be? No." for n in range(2, 1001))]
)
"""A checklist, and the answers to all of its questions at once. A seed takes the place of "nobody", because
texts of different seeds differ: what is asked after each of them is another call."""


class Asked(NamedTuple):
    """What a call is for, and the identity of the model that is asked."""

    role: ModelRole
    model: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Estimated calls, images drawn and dollars, if every verifier accepts at once, or none ever does."""

    calls: Mapping[Asked, int]
    images: int
    dollars: float
    """Of the calls to models that have a price."""
    sent: Mapping[str, int]
    """Images sent to each model by its identity, if no dialogue were longer than its first turns; scorers are
    left out."""


def plan_arm(arm: Arm) -> tuple[Plan, Plan]:
    """The least and the most that the arm asks of its models, without asking any of them."""
    return run_blocking(_plan(arm, accepts=True)), run_blocking(_plan(arm, accepts=False))


def least_calls(arm: Arm) -> int | None:
    """The calls that answering needs if every verifier accepts at once; None if that cannot be estimated.

    Calls of the scorer are left out: to know them, every turn would have to be scored.
    """
    turns = _turns(arm)

    async def count() -> int:
        played = [(await _play(arm, modality, accepts=True)).calls.total() for modality in turns]
        return sum(times * calls for times, calls in zip(turns.values(), played, strict=True))

    try:
        return run_blocking(count())
    except Exception:  # a plugin may not bear an answer that says nothing, and runs all the same
        return None


def _turns(arm: Arm) -> Counter[Modality]:
    """Turns by modality."""
    return Counter(q.modality for sample in arm.benchmark.samples() for q in sample.questions)


async def _plan(arm: Arm, accepts: bool) -> Plan:
    samples = arm.benchmark.samples()
    turns = _turns(arm)
    calls: Counter[Asked] = Counter()
    sent: Counter[str] = Counter()
    images, outputs = 0, {"text": 0, "image": 0}
    for modality, count in turns.items():
        played = await _play(arm, modality, accepts)
        outputs[modality] = played.considered if arm.score_candidates else 1
        images += count * played.images
        calls.update({asked: count * times for asked, times in played.calls.items()})
        sent.update({model: count * shown for model, shown in played.sent.items()})
    if "scorer" in arm.roles:
        scorer = Asked("scorer", model_identity(arm.roles["scorer"]))
        for modality, count in (await _judged(arm, samples)).items():
            calls[scorer] += count * outputs[modality]
    prices = {
        model_identity(model): model.dollars_per_call
        for model in arm.all_models.values()
        if isinstance(model, Remote)
    }
    dollars = sum(count * prices.get(asked.model, 0.0) for asked, count in calls.items())
    return Plan(calls=calls, images=images, dollars=dollars, sent=sent)


class _Played(NamedTuple):
    """What one turn asked for, and how many different outputs the strategy considered."""

    calls: Counter[Asked]
    images: int
    considered: int
    sent: Counter[str]
    """Images in the requests to each model."""


async def _play(arm: Arm, modality: Modality, accepts: bool) -> _Played:
    calls: Counter[Asked] = Counter()
    drawn: Counter[Modality] = Counter()

    def count(role: ModelRole, model: Backbone, modality: Modality) -> None:
        calls[Asked(role, model_identity(model))] += 1
        drawn[modality] += 1

    brokers = _StandIns(accepts)
    turn = _first_turn(arm.benchmark.samples(), modality)
    scope = TurnScope.root(
        models=arm.models, brokers=brokers, run_seed=0, turn=turn, budget=arm.budget, on_call=count
    )
    try:
        response = await arm.strategy.respond(turn, scope)
    except JudgeError as error:
        raise ConfigurationError(
            f"there is no dry run of this strategy without its scorer: {error}"
        ) from error
    finally:
        await brokers.stop()
    considered = {node.output for node in response.walk() if node.output is not None}
    return _Played(calls, drawn["image"], len(considered), brokers.sent)


def _first_turn(samples: Sequence[Sample], modality: Modality) -> Turn:
    """The first turn of the benchmark in a modality, after answers that say nothing."""
    sample, last = next((s, q) for s in samples for q in s.questions if q.modality == modality)
    history: list[Message] = []
    for question in sample.questions[: last.number]:
        answer = Message("assistant", (_answer(question.modality, 0),))
        history += [Message("user", question.parts), answer]
    return Turn(sample.name, last.number, modality, tuple(history[:-1]))


async def _judged(arm: Arm, samples: Sequence[Sample]) -> Counter[Modality]:
    """Turns by modality whose score asks the scorer."""
    judged: Counter[Modality] = Counter()
    prompts = load(arm.roles["scorer"].capabilities.prompts)
    for sample in samples:
        outputs: list[Part | None] = []
        for question in sample.questions:
            outputs.append(_answer(question.modality, 0))
            scope = MuteScope(prompts)
            with suppress(JudgeError):
                await arm.benchmark.score(sample, outputs, scope)
            judged[question.modality] += bool(scope.calls)
    return judged


class _StandIns(Brokers):
    """Brokers that ask a stand-in for each model."""

    def __init__(self, accepts: bool) -> None:
        super().__init__(Journal())
        self._accepts = accepts
        self._stand_ins: dict[int, _StandIn] = {}
        self.sent: Counter[str] = Counter()

    def of(self, model: Backbone) -> Desk:
        stand_in = self._stand_ins.get(id(model))
        if stand_in is None:
            stand_in = self._stand_ins[id(model)] = _StandIn(model, self._accepts, self.sent)
        return super().of(stand_in)


class _StandIn(Backbone):
    """Answers at once; as a verifier it accepts or not, with a short or a long checklist."""

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


class MuteScope:
    """A scope that keeps what it is asked, and never answers."""

    def __init__(self, prompts: Mapping[str, str], seed: int = 0) -> None:
        self._prompts = prompts
        self.seed = seed
        self.calls: list[Call] = []

    def prompts(self, role: ModelRole, model: Backbone | None = None) -> Mapping[str, str]:
        return self._prompts

    def child(self, index: int) -> MuteScope:
        return self

    def split(self, n: int) -> Sequence[MuteScope]:
        return [self] * n

    def as_scorer(self, turn: int | None = None) -> MuteScope:
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
    """An answer that says nothing; pictures of different seeds differ."""
    if modality == "text":
        return Text("A")
    shade = np.frombuffer(seed.to_bytes(8, "big"), np.uint8)
    return Image.from_pixels(np.resize(shade, (64, 64, 3)))
