"""The record contract: what one line of `turns.jsonl` holds, for whoever writes or reads it."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

__all__ = ["FINAL_OUTCOMES", "HISTORIES", "OUTCOMES", "History", "Outcome", "Record"]

Record = dict[str, Any]
"""One answered or failed turn as plain JSON values; `imug_tts.records` writes and reads it."""

Outcome = Literal["scored", "unscored", "model_error", "judge_error", "refused", "timed_out"]
"""How a turn ends; a closed set. Only `scored` has a score; `unscored` is answered and waits for a scorer."""
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

FINAL_OUTCOMES: Final[tuple[Outcome, ...]] = ("scored", "unscored", "refused")
"""Outcomes that the same invocation would only repeat: a scorer makes another run, a refusal is journaled."""

History = Literal["own", "gold", "swap"]
"""Whose outputs earlier turns show: the model's own, the reference outputs, or another run's."""
HISTORIES: Final[tuple[History, ...]] = get_args(History)
