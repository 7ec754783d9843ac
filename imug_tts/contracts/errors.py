"""What can go wrong, as types: which error ends a turn, which a run, and which is a user's mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "BackboneError",
    "ConfigurationError",
    "JudgeError",
    "ModelDown",
    "NoScorer",
    "OutOfBudget",
    "StorageError",
    "TimedOut",
]


class ConfigurationError(ValueError):
    """The run cannot work as configured. Raised before any compute; says what to change."""


class BackboneError(RuntimeError):
    """A model call failed. The turn ends as `model_error` and is tried again by the next invocation."""


class TimedOut(BackboneError):
    """A model call exceeded its time limit. The turn ends as `timed_out`."""


class JudgeError(RuntimeError):
    """A judge call failed. The turn ends as `judge_error` and is tried again by the next invocation.

    `detail` is what the turn's record keeps as its `score_detail`, plain JSON values; empty for nothing.
    """

    def __init__(self, message: str, *, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.detail: Mapping[str, Any] = detail or {}


class NoScorer(JudgeError):
    """The score needs a model in the role of the scorer, and the run has none: the turn ends `unscored`."""


class OutOfBudget(Exception):
    """The turn's budget allows no further call of this kind; a strategy ends with its best so far."""


class ModelDown(RuntimeError):
    """Every recent call of one model failed, so the run stops instead of failing all of its turns."""


class StorageError(RuntimeError):
    """The output could not be written. What was journaled is safe."""
