"""An ensemble of judges: each ranks the candidates of a turn, and the ranks or scores are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import Literal

from imug_tts.concurrency import gather_all
from imug_tts.contracts import Judge, JudgeError, OutOfBudget, Ranker, Scope, TimedOut
from imug_tts.dialogue import Response, Turn, Verdict
from imug_tts.knobs import Several, component, knob

__all__ = ["EnsembleJudge"]


@component
class EnsembleJudge(Ranker):
    """Ranks candidates by the mean over its members, on a common scale so that members weigh equally.

    Only candidates that every member scored are ranked, so that all values are means over the same members.
    The others are unranked, which counts as unread, and their verdicts' details name the member. If a member
    fails, the turn fails, and the next invocation retries it.
    """

    members: Several[Judge] = knob("The judges whose rankings are averaged.", min_length=2)
    combine: Literal["mean_rank", "mean_z"] = knob(
        "Value that is averaged over members. mean_rank: share of the other candidates that a candidate "
        "beats, ties as half. mean_z: score standardised within the turn, which keeps distances.",
        default="mean_rank",
    )

    @property
    def name(self) -> str:
        return "ensemble"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Raise JudgeError: an ensemble cannot judge a single candidate."""
        raise JudgeError("judge ensemble compares candidates, and there is one; use it in best_of_n")

    async def rank(self, turn: Turn, responses: Sequence[Response], scope: Scope) -> list[Verdict]:
        """Return one verdict per response: the mean over the members, or unparsable.

        Raises:
            JudgeError: a member failed; names it.
            TimedOut: a call of a member exceeded its time limit.
            OutOfBudget: the budget does not allow every member's calls.
        """
        said = [await _verdicts(member, turn, responses, scope) for member in self.members]
        scale = _shares if self.combine == "mean_rank" else _standardised
        scores = [_scores(verdicts) for verdicts in said]
        shared = set.intersection(*map(set, scores))
        scaled = [scale({index: each[index] for index in sorted(shared)}) for each in scores]
        return [self._verdict(index, said, scaled) for index in range(len(responses))]

    def _verdict(
        self, index: int, said: Sequence[Sequence[Verdict]], scaled: Sequence[Mapping[int, float]]
    ) -> Verdict:
        lines = [_line(member[index], values.get(index)) for member, values in zip(said, scaled, strict=True)]
        found = [values[index] for values in scaled if index in values]
        score = fmean(found) if found else None
        status: Literal["ok", "unparsable"] = "ok" if found else "unparsable"
        return Verdict(status=status, judge=self.name, kind=self.kind, score=score, detail="\n".join(lines))


async def _verdicts(member: Judge, turn: Turn, responses: Sequence[Response], scope: Scope) -> list[Verdict]:
    """Return a member's verdict on each response."""
    try:
        if isinstance(member, Ranker):
            return await member.rank(turn, responses, scope)
        judged = await gather_all(member.judge(turn, response, scope) for response in responses)
    except TimedOut:
        raise
    except JudgeError as error:
        raise JudgeError(f"{member.name}, a member of the ensemble: {error}", detail=error.detail) from error
    verdicts: list[Verdict] = []
    for result in judged:
        if isinstance(result, OutOfBudget):
            raise result
        verdicts.append(result)
    return verdicts


def _scores(verdicts: Sequence[Verdict]) -> dict[int, float]:
    """Return the scores of the candidates that a member scored, by index."""
    return {
        index: verdict.score
        for index, verdict in enumerate(verdicts)
        if verdict.status == "ok" and verdict.score is not None
    }


def _shares(scores: Mapping[int, float]) -> dict[int, float]:
    """Return the share of others that each candidate beats, ties as half; empty for fewer than two."""
    return {
        index: fmean((score > other) + (score == other) / 2 for o, other in scores.items() if o != index)
        for index, score in scores.items()
        if len(scores) > 1
    }


def _standardised(scores: Mapping[int, float]) -> dict[int, float]:
    """Return z-scores over the candidates: 0 if all are equal; empty for fewer than two."""
    if len(scores) < 2:
        return {}
    mean, spread = fmean(scores.values()), pstdev(scores.values())
    return {index: (score - mean) / spread if spread else 0.0 for index, score in scores.items()}


def _line(verdict: Verdict, value: float | None) -> str:
    if value is None and verdict.score is not None:
        return f"{verdict.judge}: said {verdict.score:g}"
    if value is None:
        return f"{verdict.judge}: no score ({verdict.detail or verdict.status})"
    return f"{verdict.judge}: {value:+.3f} (said {verdict.score:g})"
