"""Reward models as selectors: one number for a candidate, of which only the order counts.

A reward has no threshold, so these judges select (Best-of-N) and do not verify.
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
from imug_tts.judges._brought import brought_model
from imug_tts.judges._verifier import ask_verifier
from imug_tts.knobs import component
from imug_tts.local_model import LocalModel
from imug_tts.reward_service import RewardService

__all__ = ["ClipScoreJudge", "HttpRewardJudge", "RewardJudge"]

_GREEDY: Final = Sampling(temperature=0.0, max_tokens=1)


@component
class RewardJudge(Judge):
    """Scores a candidate by a reward model that reads the turn's history and, after it, the candidate.

    A candidate that the model cannot score has the verdict "unparsable" with the model's reason. It stays
    unranked, and never counts as a reward of 0.
    """

    judged: ClassVar[frozenset[Modality]] = frozenset({"text", "image"})
    """The modalities of answers that the reward model can score."""

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
        """The model must give rewards, and score answers of these modalities."""
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
        """The reward of the response's output.

        Raises:
            JudgeError: the reward model could not be reached or failed.
            TimedOut: the call took too long.
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
    """Scores an image by its match with the turn's request, by a CLIP or SigLIP checkpoint, e.g. PickScore.

    Sources: CLIPScore, Hessel et al. 2021, arXiv 2104.08718; PickScore, Kirstain et al. 2023, arXiv
    2305.01569.
    """

    judged: ClassVar[frozenset[Modality]] = frozenset({"image"})

    @property
    def name(self) -> str:
        return "clip_score"

    @cached_property
    def asked_model(self) -> Backbone:
        return brought_model(self, "clip_score", LocalModel)


@component
class HttpRewardJudge(RewardService, RewardJudge):
    """Scores an answer by a reward service that reads the whole history; its protocol: `HttpReward`."""

    @property
    def name(self) -> str:
        return "http_reward"

    @cached_property
    def asked_model(self) -> Backbone:
        return brought_model(self, "http_reward", RewardService)
