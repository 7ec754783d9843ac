"""The record contract: what one line of `turns.jsonl` holds, for whoever writes or reads it."""

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
]

Record = dict[str, Any]
"""One answered or failed turn as plain JSON values; `imug_tts.records` writes and reads it."""

Outcome = Literal["scored", "unscored", "model_error", "judge_error", "refused", "timed_out"]
"""How a turn ends; a closed set. Only `scored` has a score; `unscored` is answered and waits for a scorer."""
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
"""Outcomes that the same invocation would only repeat: a scorer makes another run, a refusal is journaled."""

History = Literal["own", "gold", "swap"]
"""Whose outputs earlier turns show: the model's own, the reference outputs, or another run's."""
HISTORIES: Final[tuple[History, ...]] = get_args(History)


def count_verdicts(record: Record) -> tuple[int, int]:
    """Verdicts of the judges inside the strategy, and those of them that could not be read."""
    verdicts = [node["verdict"] for node in _responses(record["response"]) if node.get("verdict")]
    return len(verdicts), sum(verdict["status"] != "ok" for verdict in verdicts)


def count_pools(record: Record) -> tuple[int, int]:
    """Times that a layer had two candidate images or more, and times that these were all the same bytes."""
    pools = [pool for node in _responses(record["response"]) if len(pool := _candidate_images(node)) > 1]
    return len(pools), sum(len(set(pool)) == 1 for pool in pools)


def _responses(response: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A response of a record and all candidates below it."""
    if response is not None:
        yield response
        for candidate in response.get("candidates", ()):
            yield from _responses(candidate)


def _candidate_images(response: Mapping[str, Any]) -> list[str]:
    return [c["output"]["image"] for c in response.get("candidates", ()) if "image" in (c["output"] or {})]
