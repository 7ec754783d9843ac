"""Scores of images by a scoring model that sees references, image and evaluation points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any, Final, NamedTuple

from imug_tts.contracts import JudgeError, Scope, Score
from imug_tts.dialogue import Image, Part, Text
from imug_tts.scoring.replies import UnreadableReply, ask_until_read, json_object

__all__ = ["score_image"]

HIGHEST: Final = 5
"""Best grade of one evaluation point; the worst is 0."""


class _Graded(NamedTuple):
    points: list[float]
    """One grade per evaluation point, 0 to 5, in order."""
    reasons: list[str]
    reply: str


async def score_image(
    scope: Scope,
    *,
    references: Sequence[tuple[str, Image]],
    target: Image,
    instruction: str,
    points: Sequence[str],
) -> Score:
    """Return the mean of the scorer's grades (0 to 5) for the evaluation points of a turn, divided by 5.

    Args:
        references: images of previous turns that the scorer must see, each with its label, in order.
        instruction: the request for the image.
        points: the evaluation points, at least one.

    Raises:
        NoScorer: the run has no scorer.
        JudgeError: the scorer failed, or no reply grades every point exactly once from 0 to 5.
    """
    if not points:
        raise JudgeError("an image without evaluation points cannot be scored")
    listed = "\n".join(f"{number}. {point}" for number, point in enumerate(points, 1))
    prompt = scope.prompts("scorer")["score_image"].format(instruction=instruction, points=listed)
    shown = [*references, ("Target image", target)]
    images: list[Part] = [part for label, image in shown for part in (Text(f"{label}:"), image)]
    read = partial(_read, num_points=len(points))
    graded = await ask_until_read(scope, (*images, Text(prompt)), read)
    detail = {
        "points": graded.points,
        "point_texts": list(points),
        "reasons": graded.reasons,
        "reply": graded.reply,
    }
    return Score(value=fmean(graded.points) / HIGHEST, detail=detail)


def _read(reply: str, num_points: int) -> _Graded:
    results = json_object(reply, "evaluation_results")["evaluation_results"]
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise UnreadableReply('"evaluation_results" must be a list of objects')
    # A point's id may be 1 or "1"; a score must be a number.
    ids = [str(result.get("point_id")) for result in results]
    wanted = [str(number) for number in range(1, num_points + 1)]
    if sorted(ids) != sorted(wanted):
        raise UnreadableReply(
            f"each point_id from 1 to {num_points} must be there once, not {', '.join(ids)}"
        )
    by_id = dict(zip(ids, results, strict=True))
    scores = [_score(number, by_id[number].get("score")) for number in wanted]
    return _Graded(scores, [str(by_id[number].get("reason", "")) for number in wanted], reply)


def _score(number: str, score: Any) -> float:
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= HIGHEST:
        raise UnreadableReply(
            f"the score of point {number} must be a number from 0 to {HIGHEST}, not {score!r}"
        )
    return score
