"""A judge with a local reward model of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Candidate,
    Capabilities,
    Cost,
    Judge,
    JudgeError,
    Models,
    Request,
    Sampling,
    Scope,
)
from imug_tts.dialogue import Image, Message, Response, Text, Turn, Verdict, VerdictKind
from imug_tts.knobs import Folder, component, knob


@component
class RewardModel(Backbone):
    """Rewards a bright picture. It never writes and never draws."""

    gain: float = knob("Factor of every reward.", default=1.0, gt=0)
    batches: Folder | None = knob("A file that gets the size of every batch.", default=None, runtime=True)

    @property
    def identity(self) -> str:
        return "shade-reward:1"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            outputs=frozenset({"text"}),
            reads_images=True,
            draws_from_images=False,
            seeds="exact",
            logits=False,
            max_batch=32,
            rewards=True,
        )

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        if self.batches is not None:
            with self.batches.open("a") as file:
                file.write(f"{sum(len(request.seeds) for request in requests)}\n")
        return [[self._reward(request)] * len(request.seeds) for request in requests]

    def _reward(self, request: Request) -> Candidate:
        shown = request.history[-2].parts[-1]
        bright = float(shown.pixels().mean()) if isinstance(shown, Image) else 0.0
        cost = Cost(calls=1, prompt_tokens=64)
        return Candidate(output=Text("reward"), reward=self.gain * bright, cost=cost)


@component
class ShadeReward(Judge):
    """Ranks answers by the reward of a model that it brings along."""

    gain: float = knob("Factor of every reward.", default=1.0, gt=0)
    batches: Folder | None = knob("A file that gets the size of every batch.", default=None, runtime=True)

    @property
    def name(self) -> str:
        return "shade_reward"

    @property
    def kind(self) -> VerdictKind:
        return "reward"

    @property
    def models(self) -> Models:
        return {"verifier": self.model}

    @cached_property
    def model(self) -> RewardModel:
        """One for all calls, so that the engine can batch them over dialogues."""
        return RewardModel(gain=self.gain, batches=self.batches)

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        if response.output is None:
            raise JudgeError("a refused response has no output to judge")
        shown = Message("assistant", (response.output,))
        history = (*turn.history, shown, Message("user", (Text("How good is it?"),)))
        greedy = Sampling(temperature=0.0, max_tokens=1)
        try:
            answer = await scope.ask("verifier", history, "text", greedy, form="reward", model=self.model)
        except BackboneError as error:
            raise JudgeError(f"the reward model failed: {error}") from error
        return Verdict(status="ok", judge=self.name, score=answer.reward, kind=self.kind)
