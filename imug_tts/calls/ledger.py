"""The ledger: the cost of the calls of one turn, and who is charged for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from imug_tts.calls.broker import Answer
from imug_tts.contracts import Cost, ModelRole

__all__ = ["Ledger"]

_PAYERS: Final[Mapping[ModelRole, str]] = {"verifier": "judge", "scorer": "scorer"}
"""Who is charged for the calls of a role; the generator for all other roles."""


class _Charge(NamedTuple):
    payer: str
    prompt_id: str
    cost: Cost
    shared_cost: Cost
    is_new: bool


@dataclass
class Ledger:
    """The charges for the calls of one turn. A call that is made twice is charged once."""

    _charges: dict[str, _Charge] = field(default_factory=dict, init=False)

    def charge(self, answer: Answer, prompt_id: str, role: ModelRole) -> None:
        payer = _PAYERS.get(role, "generator")
        made = answer.candidate
        charge = _Charge(payer, prompt_id, made.cost, made.shared_cost, answer.is_new)
        self._charges.setdefault(answer.call_id, charge)

    def costs(self) -> dict[str, Cost]:
        """Return the turn's cost by payer, including calls that the journal answered."""
        return dict.fromkeys(("generator", "judge", "scorer"), Cost()) | self._sum(new_only=False)

    def spent(self) -> Cost:
        """Return the cost of the calls that this invocation made; the journal answered the others."""
        return sum(self._sum(new_only=True).values(), Cost())

    def _sum(self, new_only: bool) -> dict[str, Cost]:
        """Return the cost of each payer with charges.

        Of calls with one prompt, one is charged for its prefill and one for what they share.
        """
        totals: dict[str, Cost] = {}
        prefilled: set[str] = set()
        sharing: set[str] = set()
        # Sorted, so that which of two payers is charged does not depend on completion order.
        for _, charge in sorted(self._charges.items()):
            if new_only and not charge.is_new:
                continue
            shared = charge.prompt_id in prefilled
            cost = charge.cost.after_a_shared_prompt() if shared else charge.cost
            prefilled.add(charge.prompt_id)
            if charge.shared_cost != Cost() and charge.prompt_id not in sharing:
                sharing.add(charge.prompt_id)
                cost += charge.shared_cost
            totals[charge.payer] = totals.get(charge.payer, Cost()) + cost
        return totals
