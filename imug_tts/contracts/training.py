"""The cost of training a model, as a backbone reports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["TrainingCost"]


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """The cost of training a model, beyond its initial weights.

    For a mean of several models' weights, the fields are the sums of theirs.
    """

    method: str
    """E.g. `step`, or `mean of 3: step`; models with the same method are reported together."""
    start: str
    """Hash of the model from which the training began, or `scratch`."""
    seeds: Sequence[int]
    steps: int
    token_positions: int
    """Trained token positions; those that the model itself generated are not counted, but their seconds
    are."""
    seconds: float
    """Wall-clock seconds of one process for steps and generation, summed over invocations."""
    play_seconds: float
    processes: int
