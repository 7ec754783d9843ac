"""A small deterministic world for tests of strategies and judges.

`ToyBackbone` answers with a hash of history and seed, so every change of a request changes its output.
`answer` runs a strategy in the engine's own scope, whose calls can be made to finish in a shuffled order.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from imug_tts.calls import Brokers, Budget, Journal, TurnScope
from imug_tts.contracts import (
    Backbone,
    Candidate,
    Capabilities,
    Cost,
    Form,
    Judge,
    ModelRole,
    Request,
    Sampling,
    Scope,
    Strategy,
    models_by_role,
)
from imug_tts.dialogue import Image, Message, Modality, Part, Point, Response, Text, Turn, Verdict
from imug_tts.prompts import load

__all__ = ["CAPABILITIES", "TableJudge", "ToyBackbone", "answer", "picture", "turn_of", "within"]

T = TypeVar("T")

CAPABILITIES = Capabilities(
    outputs=frozenset({"text", "image"}),
    reads_images=True,
    draws_from_images=True,
    seeds="exact",
    logits=True,
    max_batch=16,
)


@dataclass
class ToyBackbone(Backbone):
    """A backbone whose answers depend only on a hash of the call. So do failures: a rate is the share of
    calls whose hash makes them fail.
    """

    capabilities: Capabilities = CAPABILITIES
    refusal_rate: float = 0.0
    """Share of image calls that are refused."""
    mumble_rate: float = 0.0
    """Share of checks that are answered by neither yes nor no; they also lack P(yes)."""
    checklist: str = "1. Is it bright?\n- Is it square?\n\nIs the star at b2?"
    reply: Callable[[tuple[Message, ...], int], str] | None = None
    """Computes the answers of text turns and plans from history and seed; None uses hashes."""
    identity: str = "toy"
    asked: list[Request] = field(default_factory=list, init=False)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self.asked.extend(requests)
        return [[self._draw(request, seed) for seed in request.seeds] for request in requests]

    def calls(self, modality: Modality) -> int:
        return sum(len(request.seeds) for request in self.asked if request.modality == modality)

    def prompts_asked(self) -> Counter[str]:
        """How often each prompt of the prompt set was the last text of a request."""
        texts = {text: name for name, text in load(self.capabilities.prompts).items()}
        return Counter(texts.get(_last_text(request.history), "other") for request in self.asked)

    def _draw(self, request: Request, seed: int) -> Candidate:
        greedy = request.sampling.temperature == 0
        noise = _hash("".join(m.digest for m in request.history), request.modality, 0 if greedy else seed)
        cost = Cost(calls=1, images=int(request.modality == "image"))
        if request.modality == "image":
            if _share(noise, "refuse") < self.refusal_rate:
                return Candidate(output=None, finish="refused", cost=cost)
            return Candidate(output=picture(noise), cost=cost)
        if request.form == "yes_no":
            return self._check(noise, cost)
        return Candidate(output=Text(self._write(request.history, seed, noise)), cost=cost)

    def _check(self, noise: str, cost: Cost) -> Candidate:
        p_yes = _share(noise, "yes")
        if _share(noise, "mumble") < self.mumble_rate:
            return Candidate(output=Text("Hard to say."), cost=cost)
        reply = "Yes." if p_yes >= 0.5 else "No, it is dark."
        return Candidate(output=Text(reply), p_yes=p_yes if self.capabilities.logits else None, cost=cost)

    def _write(self, history: tuple[Message, ...], seed: int, noise: str) -> str:
        if _last_text(history) == load(self.capabilities.prompts)["checklist"]:
            return self.checklist
        if self.reply is not None:
            return self.reply(history, seed)
        return f"{'ABCDEFG'[int(noise[:4], 16) % 7]} {noise[:6]}"


@dataclass(frozen=True, kw_only=True)
class TableJudge(Judge):
    """A judge that scores outputs by a table. None is an unparsable verdict; outputs that are not in the
    table get 0.
    """

    scores: Mapping[Part, float | None]
    points: tuple[str, ...] = ()
    """Points that fail unless the score is 1; without points the verdict has only the score."""
    name: str = "table"
    oracle: bool = False

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        del turn, scope
        assert response.output is not None
        score = self.scores.get(response.output, 0.0)
        status: Literal["ok", "unparsable"] = "unparsable" if score is None else "ok"
        points = () if score is None else tuple(Point(text, float(score >= 1)) for text in self.points)
        return Verdict(status=status, judge=self.name, score=score, points=points)


def turn_of(modality: Modality = "image") -> Turn:
    """Turn 2 of a dialogue that contains an image."""
    history = (
        Message("user", (Text("draw a star"),)),
        Message("assistant", (picture("star"),)),
        Message("user", (Text("add a circle" if modality == "image" else "what is it? A star B circle"),)),
    )
    return Turn(sample="static/toy/0", number=2, modality=modality, history=history)


def answer(
    strategy: Strategy,
    turn: Turn | None = None,
    backbone: ToyBackbone | None = None,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    shuffle: int | None = None,
) -> Response:
    """The response of `strategy` to `turn` in a scope of the engine; `shuffle` seeds the order of
    completion.
    """
    turn = turn or turn_of()

    async def run(scope: Scope) -> Response:
        return await strategy.respond(turn, scope)

    return within(run, turn, backbone, seed=seed, budget=budget, shuffle=shuffle)


def within(
    run: Callable[[Scope], Awaitable[T]],
    turn: Turn | None = None,
    backbone: Backbone | None = None,
    *,
    scorer: Backbone | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    shuffle: int | None = None,
    journal: Path | None = None,
) -> T:
    """The result of `run` with the scope of `turn`. The journal is in memory, or in the folder `journal`."""
    turn = turn or turn_of()

    async def main() -> T:
        brokers = Brokers(Journal(journal))
        root = TurnScope.root(
            models=models_by_role(backbone or ToyBackbone(), {} if scorer is None else {"scorer": scorer}),
            brokers=brokers,
            run_seed=seed,
            turn=turn,
            budget=budget or Budget(),
        )
        try:
            return await run(root if shuffle is None else _Shuffled(root, random.Random(shuffle)))
        finally:
            await brokers.stop()

    return asyncio.run(main())


@dataclass
class _Shuffled:
    """A scope whose calls begin and end after random delays."""

    scope: Scope
    delays: random.Random

    @property
    def seed(self) -> int:
        return self.scope.seed

    def prompts(self, role: ModelRole, model: Backbone | None = None) -> Mapping[str, str]:
        return self.scope.prompts(role, model)

    def child(self, index: int) -> Scope:
        return _Shuffled(self.scope.child(index), self.delays)

    def split(self, n: int) -> Sequence[Scope]:
        return [_Shuffled(scope, self.delays) for scope in self.scope.split(n)]

    def as_scorer(self, turn: int | None = None) -> Scope:
        return _Shuffled(self.scope.as_scorer(turn), self.delays)

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
        await self._dawdle()
        try:
            return await self.scope.ask(role, history, modality, sampling, form=form, model=model)
        finally:
            await self._dawdle()

    async def _dawdle(self) -> None:
        for _ in range(self.delays.randrange(8)):
            await asyncio.sleep(0)


def picture(content: str) -> Image:
    """A real image determined by `content`; different contents give different images."""
    pixels = np.frombuffer(hashlib.sha256(content.encode()).digest(), np.uint8)
    return Image.from_pixels(np.resize(pixels, (4, 4, 3)))


def _last_text(history: tuple[Message, ...]) -> str:
    last = history[-1].parts[-1]
    return last.text if isinstance(last, Text) else ""


def _hash(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def _share(noise: str, purpose: str) -> float:
    """A number in [0, 1) determined by `noise` and `purpose`."""
    return int(_hash(noise, purpose)[:8], 16) / 2**32
