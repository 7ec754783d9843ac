"""Selection of one response from several candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from imug_tts.contracts import Judge, Ranker, Scope
from imug_tts.dialogue import Response, Turn

__all__ = ["adopt", "best_of", "judged", "ranked", "refused", "score_of"]


def score_of(response: Response) -> float | None:
    """Return the score that ranks a candidate; None if the candidate is unranked."""
    verdict = response.verdict
    return verdict.score if verdict is not None and verdict.status == "ok" else None


async def judged(judge: Judge, turn: Turn, response: Response, scope: Scope) -> Response:
    """Return `response` with the judge's verdict; a refusal is returned without a verdict."""
    if response.output is None:
        return response
    return replace(response, verdict=await judge.judge(turn, response, scope))


async def ranked(judge: Ranker, turn: Turn, candidates: Sequence[Response], scope: Scope) -> list[Response]:
    """Return `candidates` with their verdicts; refusals and a single candidate get no verdict."""
    eligible = [index for index, candidate in enumerate(candidates) if candidate.output is not None]
    if len(eligible) < 2:
        return list(candidates)
    verdicts = await judge.rank(turn, [candidates[index] for index in eligible], scope)
    by_index = dict(zip(eligible, verdicts, strict=True))
    return [replace(candidate, verdict=by_index.get(index)) for index, candidate in enumerate(candidates)]


def adopt(name: str, candidates: Sequence[Response], chosen: int, *notes: str) -> Response:
    """Return the response of layer `name` with the output of candidate `chosen` and all candidates.

    If the chosen candidate is a refusal, the response is a refusal and its `chosen` is None.
    """
    winner = candidates[chosen]
    return Response(
        strategy=name,
        output=winner.output,
        finish=winner.finish,
        reason=winner.reason,
        source=winner.source,
        plan=winner.plan,
        thought=winner.thought,
        keep_plan=winner.keep_plan,
        candidates=tuple(candidates),
        chosen=None if winner.output is None else chosen,
        note="; ".join(filter(None, notes)),
    )


def refused(name: str, candidates: Sequence[Response], *notes: str) -> Response:
    """Return the response of layer `name` if the model refused every candidate."""
    note = "; ".join(filter(None, (*notes, "every candidate was refused")))
    reason = next((candidate.reason for candidate in candidates if candidate.reason), None)
    return Response(
        strategy=name,
        output=None,
        finish="refused",
        reason=reason,
        candidates=tuple(candidates),
        note=note,
    )


def best_of(name: str, candidates: Sequence[Response], *notes: str) -> Response:
    """Return the response with the highest-scored candidate; the lowest index if scores are equal.

    Refusals are never chosen. If no candidate is ranked, the first one that is no refusal is chosen.
    """
    eligible = [index for index, candidate in enumerate(candidates) if candidate.output is not None]
    if not eligible:
        return refused(name, candidates, *notes)
    scores = {index: score for index in eligible if (score := score_of(candidates[index])) is not None}
    if not scores:
        return adopt(name, candidates, eligible[0], *notes, "no candidate could be ranked: took the first")
    top = max(scores.values())
    best = [index for index, score in scores.items() if score == top]
    tie = f"tie between candidates {', '.join(map(str, best))}: took the first" if len(best) > 1 else ""
    return adopt(name, candidates, best[0], *notes, tie)
