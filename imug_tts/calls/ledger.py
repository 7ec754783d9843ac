"""The ledger: what the calls of one turn cost, and whose cost it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from imug_tts.calls.broker import Answer
from imug_tts.contracts import Cost, ModelRole

__all__ = ["Ledger"]

_PAYERS: Final[Mapping[ModelRole, str]] = {"verifier": "judge", "scorer": "scorer"}
"""Whose cost a role's calls are; the generator's for the rest."""


class _Charge(NamedTuple):
    payer: str
    prompt_id: str
    cost: Cost
    is_new: bool


@dataclass
class Ledger:
    """The calls of one turn. The same call asked for twice is charged once."""

    _charges: dict[str, _Charge] = field(default_factory=dict)

    def charge(self, answer: Answer, prompt_id: str, role: ModelRole) -> None:
        payer = _PAYERS.get(role, "generator")
        charge = _Charge(payer, prompt_id, answer.candidate.cost, answer.is_new)
        self._charges.setdefault(answer.call_id, charge)

    def costs(self) -> dict[str, Cost]:
        """The turn's cost by payer, whether or not the journal served its calls."""
        return dict.fromkeys(("generator", "judge", "scorer"), Cost()) | self._sum(new_only=False)

    def spent(self) -> Cost:
        """The cost of the calls that were really made."""
        return sum(self._sum(new_only=True).values(), Cost())

    def _sum(self, new_only: bool) -> dict[str, Cost]:
        """Sum by payer that has any. Of calls that share a prompt, one pays for its prefill."""
        totals: dict[str, Cost] = {}
        prefilled: set[str] = set()
        # Sorted, so that which of two payers is charged does not depend on completion order.
        for _, charge in sorted(self._charges.items()):
            if new_only and not charge.is_new:
                continue
            shared = charge.prompt_id in prefilled
            cost = charge.cost.after_a_shared_prompt() if shared else charge.cost
            totals[charge.payer] = totals.get(charge.payer, Cost()) + cost
            prefilled.add(charge.prompt_id)
        return totals
