"""The exceptions of the package: each ends one turn, ends the whole run, or reports a mistake of the user."""

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
    """The run cannot work as configured. Raised before any compute; the message says what to change."""


class BackboneError(RuntimeError):
    """A model call failed: the turn's outcome is `model_error`, and the next invocation retries it."""


class TimedOut(BackboneError):
    """A model call exceeded its time limit. The outcome of the turn is `timed_out`."""


class JudgeError(RuntimeError):
    """A judge call failed: the turn's outcome is `judge_error`, and the next invocation retries it.

    `detail` holds the plain JSON values that the turn's record stores as `score_detail`; empty for none.
    """

    def __init__(self, message: str, *, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.detail: Mapping[str, Any] = detail or {}


class NoScorer(JudgeError):
    """The score needs a scoring model, and the run has none: the turn's outcome is `unscored`."""


class OutOfBudget(Exception):
    """The turn's budget allows no further call; a strategy then returns its best answer so far."""


class ModelDown(RuntimeError):
    """Every recent call to one model failed; the run stops, so that its other turns do not fail as well."""


class StorageError(RuntimeError):
    """A file could not be written. Calls that are already in the journal are safe."""
