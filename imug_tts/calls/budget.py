"""Budgets: upper limits on the calls of one turn."""

from __future__ import annotations

from collections.abc import Mapping

from imug_tts.dialogue import Modality
from imug_tts.knobs import component, knob

__all__ = ["Allowance", "Budget"]


@component
class Budget:
    """Limits per turn: generated images, and text calls (plans, checklists, checks, answers)."""

    images: int | None = knob("Most images generated for a turn; null for no limit.", default=None, ge=1)
    texts: int | None = knob(
        "Most text calls for a turn: plans, checklists, checks and answers; null for no limit.",
        default=None,
        ge=1,
    )


class Allowance:
    """The calls that a budget still allows. Calls spent from a share are also spent from its parent."""

    def __init__(self, caps: Mapping[Modality, int | None], parent: Allowance | None = None) -> None:
        self._left = dict(caps)
        self._parent = parent

    @classmethod
    def of(cls, budget: Budget) -> Allowance:
        return cls({"image": budget.images, "text": budget.texts})

    def left(self, modality: Modality) -> int | None:
        """Return the number of calls left; None for no limit."""
        return self._left[modality]

    def spend(self, modality: Modality) -> None:
        left = self._left[modality]
        if left is not None:
            self._left[modality] = left - 1
        if self._parent is not None:
            self._parent.spend(modality)

    def shares(self, n: int) -> list[Allowance]:
        """Split the remaining calls into n even shares; the first shares get the remainders."""
        return [Allowance({m: _share(left, n, i) for m, left in self._left.items()}, self) for i in range(n)]


def _share(left: int | None, n: int, index: int) -> int | None:
    return None if left is None else left // n + (index < left % n)
