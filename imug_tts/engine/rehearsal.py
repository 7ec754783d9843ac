"""What a run would ask for, found out by playing its turns with a stand-in for every model.

What a strategy asks depends on what it is told: it stops when its verifier is content. So each kind of turn
is played twice, with a stand-in that is content at once and with one that never is, and the plan is a range.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from imug_tts.contracts import (
    MODEL_ROLES,
    BackboneError,
    Candidate,
    Capabilities,
    ConfigurationError,
    JudgeError,
    ModelRole,
    Remote,
    Request,
)
from imug_tts.dialogue import Image, Message, Modality, Part, Sample, Text, Turn
from imug_tts.engine.arm import Arm
from imug_tts.engine.broker import Broker
from imug_tts.engine.journal import Journal
from imug_tts.engine.scope import Budget, TurnScope

__all__ = ["Plan", "rehearse"]

_FEW = "1. Is it as it should be? Yes."
_MANY = "\n".join(f"{number}. Is thing {number} as it should be? No." for number in range(1, 1001))
"""A checklist, and the answers to all of its questions at once."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Calls by role, images drawn and dollars, if every verifier is content at once, or never is."""

    calls: Mapping[ModelRole, int]
    images: int
    dollars: float
    """Of the calls to models that have a price."""


def rehearse(arm: Arm) -> tuple[Plan, Plan]:
    """The least and the most that the arm asks of its models, without asking any of them."""
    return asyncio.run(_rehearse(arm, content=True)), asyncio.run(_rehearse(arm, content=False))


async def _rehearse(arm: Arm, content: bool) -> Plan:
    samples = arm.benchmark.samples()
    turns: Counter[Modality] = Counter(q.modality for sample in samples for q in sample.questions)
    calls: Counter[ModelRole] = Counter()
    images, outputs = 0, {"text": 0, "image": 0}
    for modality, count in turns.items():
        stand_ins, considered = await _play(arm, modality, content)
        outputs[modality] = considered if arm.score_candidates else 1
        for role, model in stand_ins.items():
            calls[role] += count * len(model.asked)
            images += count * sum(request.modality == "image" for request in model.asked)
    if "scorer" in arm.roles:
        for modality, count in (await _judged(arm, samples)).items():
            calls["scorer"] += count * outputs[modality]
    prices = {role: m.dollars_per_call for role, m in arm.models.items() if isinstance(m, Remote)}
    dollars = sum(calls[role] * price for role, price in prices.items())
    return Plan(calls=calls, images=images, dollars=dollars)


async def _play(arm: Arm, modality: Modality, content: bool) -> tuple[dict[ModelRole, _StandIn], int]:
    """The stand-ins after one turn, and how many different outputs the strategy considered."""
    stand_ins = {role: _StandIn(arm.models[role].capabilities, content) for role in MODEL_ROLES}
    brokers = {role: Broker(model, Journal()) for role, model in stand_ins.items()}
    turn = _first_turn(arm.benchmark.samples(), modality)
    try:
        response = await arm.strategy.respond(turn, _scope(brokers, turn, arm.budget))
    except JudgeError as error:
        raise ConfigurationError(f"this strategy cannot be rehearsed without its scorer: {error}") from error
    finally:
        for broker in brokers.values():
            await broker.stop()
    return stand_ins, len({node.output for node in response.walk() if node.output is not None})


def _first_turn(samples: Sequence[Sample], modality: Modality) -> Turn:
    """The first turn of the benchmark in a modality, behind answers that say nothing."""
    sample, last = next((s, q) for s in samples for q in s.questions if q.modality == modality)
    history: list[Message] = []
    for question in sample.questions[: last.number]:
        answer = Message("assistant", (_answer(question.modality, 0),))
        history += [Message("user", question.parts), answer]
    return Turn(sample.name, last.number, modality, tuple(history[:-1]))


async def _judged(arm: Arm, samples: Sequence[Sample]) -> Counter[Modality]:
    """Turns by modality whose score asks the scorer."""
    judged: Counter[Modality] = Counter()
    scorer = _Unreachable()
    broker = Broker(scorer, Journal())
    for sample in samples:
        outputs: list[Part | None] = []
        for question in sample.questions:
            outputs.append(_answer(question.modality, 0))
            turn = Turn(sample.name, question.number, question.modality, ())
            scope = _scope({"generator": broker, "scorer": broker}, turn, Budget()).as_scorer()
            before = scorer.times_asked
            with suppress(JudgeError):
                await arm.benchmark.score(sample, outputs, scope)
            judged[question.modality] += scorer.times_asked > before
    await broker.stop()
    return judged


def _scope(brokers: Mapping[ModelRole, Broker], turn: Turn, budget: Budget) -> TurnScope:
    return TurnScope.root(
        brokers=brokers,
        run_seed=0,
        turn=turn,
        budget=budget,
    )


@dataclass
class _StandIn:
    """Answers at once; as a verifier it is content or not, with a short or a long checklist."""

    model: Capabilities
    content: bool
    identity: str = "stand-in"
    asked: list[Request] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.model, max_batch=1, concurrent_batches=1)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self.asked.extend(replace(request, seeds=(seed,)) for request in requests for seed in request.seeds)
        return [[self._candidate(request, seed) for seed in request.seeds] for request in requests]

    def _candidate(self, request: Request, seed: int) -> Candidate:
        if request.yes_no:
            return Candidate(output=Text("yes" if self.content else "no"), p_yes=float(self.content))
        text = _FEW if self.content else _MANY
        output = _answer("image", seed) if request.modality == "image" else Text(text)
        return Candidate(output=output)


@dataclass
class _Unreachable:
    """Counts how often it is asked, and never answers."""

    times_asked: int = 0
    identity: str = "unreachable"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text"}),
            reads_images=True,
            draws_from_images=False,
            seeds="none",
            logits=False,
            max_batch=1,
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self.times_asked += 1
        raise BackboneError("this is a rehearsal")


@cache
def _answer(modality: Modality, seed: int) -> Part:
    """An answer that says nothing; pictures of different seeds differ."""
    if modality == "text":
        return Text("A")
    shade = np.frombuffer(seed.to_bytes(8, "big"), np.uint8)
    return Image.from_pixels(np.resize(shade, (64, 64, 3)))
