"""Budgets: caps on the calls of one turn."""

from __future__ import annotations

from collections.abc import Mapping

from imug_tts.dialogue import Modality
from imug_tts.knobs import component, knob

__all__ = ["Allowance", "Budget"]


@component
class Budget:
    """Caps per turn: images drawn, and text calls (plans, checklists, checks, answers)."""

    images: int | None = knob("Most images drawn for a turn; null for no cap.", default=None, ge=1)
    texts: int | None = knob(
        "Most text calls for a turn: plans, checklists, checks and answers; null for no cap.",
        default=None,
        ge=1,
    )


class Allowance:
    """What is left of a budget. What a share of it spends, it spends too."""

    def __init__(self, caps: Mapping[Modality, int | None], parent: Allowance | None = None) -> None:
        self._left = dict(caps)
        self._parent = parent

    @classmethod
    def of(cls, budget: Budget) -> Allowance:
        return cls({"image": budget.images, "text": budget.texts})

    def left(self, modality: Modality) -> int | None:
        """Calls left; None for no cap."""
        return self._left[modality]

    def spend(self, modality: Modality) -> None:
        left = self._left[modality]
        if left is not None:
            self._left[modality] = left - 1
        if self._parent is not None:
            self._parent.spend(modality)

    def shares(self, n: int) -> list[Allowance]:
        """Split what is left evenly; the first shares get the remainders."""
        return [Allowance({m: _share(left, n, i) for m, left in self._left.items()}, self) for i in range(n)]


def _share(left: int | None, n: int, index: int) -> int | None:
    return None if left is None else left // n + (index < left % n)
