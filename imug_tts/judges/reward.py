"""Reward models as judges: one number per candidate, of which only the order counts.

A reward has no threshold, so these judges can select (Best-of-N) but not verify.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Final

from imug_tts.contracts import (
    Backbone,
    ConfigurationError,
    Judge,
    JudgeError,
    Models,
    Sampling,
    Scope,
    Setting,
)
from imug_tts.dialogue import Message, Modality, Response, Turn, Verdict, VerdictKind
from imug_tts.judges._own_models import own_model
from imug_tts.judges._verifier import ask_verifier
from imug_tts.knobs import component
from imug_tts.local_model import LocalModel
from imug_tts.reward_service import RewardService

__all__ = ["ClipScoreJudge", "HttpRewardJudge", "RewardJudge"]

_GREEDY: Final = Sampling(temperature=0.0, max_tokens=1)


@component
class RewardJudge(Judge):
    """Scores a candidate by a reward model, which reads the turn's history followed by the candidate.

    If the model cannot score a candidate, the verdict is "unparsable" with the model's reason: the candidate
    is unranked, and never has a reward of 0.
    """

    judged: ClassVar[frozenset[Modality]] = frozenset({"text", "image"})
    """The modalities that the reward model can score."""

    @property
    @abstractmethod
    def asked_model(self) -> Backbone:
        """The reward model."""

    @property
    def kind(self) -> VerdictKind:
        return "reward"

    @property
    def models(self) -> Models:
        return {"verifier": self.asked_model}

    def check(self, setting: Setting, modalities: Sequence[Modality], layer: str) -> None:
        """Check that the model gives rewards, and can score answers of these modalities."""
        if not setting.capabilities("verifier", self.asked_model).rewards:
            raise ConfigurationError(
                f"the judge of {layer} asks {self.asked_model.identity}, which gives no rewards"
            )
        if foreign := sorted(set(modalities) - self.judged):
            raise ConfigurationError(
                f"the judge of {layer}, {self.name}, scores {' and '.join(sorted(self.judged))} answers "
                f"only, and {layer} acts on {' and '.join(foreign)} turns too; set its applies_to=[image]"
            )

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Return the reward of the response's output as a verdict.

        Raises:
            JudgeError: the call to the reward model failed.
            TimedOut: the call exceeded its time limit.
            OutOfBudget: the turn's budget allows no further text call.
        """
        if response.output is None:
            raise JudgeError("a refused response has no output to judge")
        shown = (*turn.history, Message("assistant", (response.output,)))
        reply = await ask_verifier(scope, shown, _GREEDY, form="reward", model=self.asked_model)
        if reply.reward is None:
            reason = reply.reason or "the reward model gave no reward"
            return Verdict(status="unparsable", judge=self.name, kind=self.kind, detail=reason)
        return Verdict(status="ok", judge=self.name, kind=self.kind, score=reply.reward)


@component
class ClipScoreJudge(LocalModel, RewardJudge):
    """Scores how well an image matches the turn's request, by a CLIP or SigLIP checkpoint, e.g. PickScore.

    Sources: CLIPScore, Hessel et al. 2021, arXiv 2104.08718; PickScore, Kirstain et al. 2023, arXiv
    2305.01569.
    """

    judged: ClassVar[frozenset[Modality]] = frozenset({"image"})

    @property
    def name(self) -> str:
        return "clip_score"

    @cached_property
    def asked_model(self) -> Backbone:
        return own_model(self, "clip_score", LocalModel)


@component
class HttpRewardJudge(RewardService, RewardJudge):
    """Scores an answer by a reward service that reads the whole history; `HttpReward` has the protocol."""

    @property
    def name(self) -> str:
        return "http_reward"

    @cached_property
    def asked_model(self) -> Backbone:
        return own_model(self, "http_reward", RewardService)
