"""The record format: the types of one line of `turns.jsonl`, and counts over its tree of responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, get_args

__all__ = [
    "FINAL_OUTCOMES",
    "HISTORIES",
    "OUTCOMES",
    "OUTCOME_MEANINGS",
    "History",
    "Outcome",
    "Record",
    "count_pools",
    "count_verdicts",
    "stored_responses",
]

Record = dict[str, Any]
"""One answered or failed turn as plain JSON values. `imug_tts.records` writes and reads records."""

Outcome = Literal["scored", "unscored", "model_error", "judge_error", "refused", "timed_out"]
"""The outcome of a turn. Only "scored" has a score; "unscored" has an answer but no scoring model."""
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

OUTCOME_MEANINGS: Final[Mapping[Outcome, str]] = {
    "scored": "The turn is answered and its answer has a score.",
    "unscored": "The turn is answered; its answer needs a scorer that the run does not have.",
    "model_error": "A call of a model failed, or a server gave no usable answer.",
    "judge_error": "The judge inside the strategy or the scorer failed or could not be read.",
    "refused": "The model declined to answer.",
    "timed_out": "A call took longer than its time limit.",
}

FINAL_OUTCOMES: Final[tuple[Outcome, ...]] = ("scored", "unscored", "refused")
"""Outcomes that the next invocation does not retry: the journal would replay a refusal, and adding a scorer
makes another run.
"""

History = Literal["own", "gold", "swap"]
"""Whose outputs of previous turns the history shows: the model's own, the reference outputs, or another
run's.
"""
HISTORIES: Final[tuple[History, ...]] = get_args(History)


def count_verdicts(record: Record) -> tuple[int, int]:
    """Return how many verdicts the judges inside the strategy gave, and how many could not be parsed."""
    verdicts = [node["verdict"] for node in stored_responses(record["response"]) if node.get("verdict")]
    return len(verdicts), sum(verdict["status"] != "ok" for verdict in verdicts)


def count_pools(record: Record) -> tuple[int, int]:
    """Return how many layers had two or more candidate images, and how many of these had equal bytes."""
    pools = [
        pool for node in stored_responses(record["response"]) if len(pool := _candidate_images(node)) > 1
    ]
    return len(pools), sum(len(set(pool)) == 1 for pool in pools)


def stored_responses(response: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield a stored response and all candidates nested in it, parents first."""
    if response is not None:
        yield response
        for candidate in response.get("candidates", ()):
            yield from stored_responses(candidate)


def _candidate_images(response: Mapping[str, Any]) -> list[str]:
    return [c["output"]["image"] for c in response.get("candidates", ()) if "image" in (c["output"] or {})]
