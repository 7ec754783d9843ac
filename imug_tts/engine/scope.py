"""What a strategy has of the world: models by role, seeds by branch, the budget, the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from imug_tts.contracts import (
    BackboneError,
    Candidate,
    ConfigurationError,
    Cost,
    JudgeError,
    ModelRole,
    NoScorer,
    OutOfBudget,
    Sampling,
)
from imug_tts.dialogue import Message, Modality, Turn
from imug_tts.engine.broker import Answer, Broker, Call
from imug_tts.prompts import load

__all__ = ["Budget", "Ledger", "TurnScope", "branch_seed"]


def branch_seed(run_seed: int, sample: str, turn: int, path: tuple[int, ...]) -> int:
    """The seed of one branch of one turn, in [0, 2**63).

    Trailing zeros of the path do not count: candidate 0 of Best-of-N is what Direct draws.
    """
    while path and path[-1] == 0:
        path = path[:-1]
    digest = hashlib.sha256(f"{run_seed}\n{sample}\n{turn}\n{path}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Caps per turn: images drawn, and text calls (plans, checklists, checks, answers)."""

    images: int | None = None
    texts: int | None = None

    def __post_init__(self) -> None:
        for name, cap in (("images", self.images), ("texts", self.texts)):
            if cap is not None and cap < 1:
                raise ConfigurationError(f"budget.{name} is {cap}; a turn needs at least 1 (null for no cap)")


class _Purse:
    """What is left of a budget; a child's spending is its ancestors' too."""

    def __init__(self, caps: Mapping[Modality, int | None], parent: _Purse | None = None) -> None:
        self._left = dict(caps)
        self._parent = parent

    def left(self, modality: Modality) -> int | None:
        return self._left[modality]

    def spend(self, modality: Modality) -> None:
        left = self._left[modality]
        if left is not None:
            self._left[modality] = left - 1
        if self._parent is not None:
            self._parent.spend(modality)

    def shares(self, n: int) -> list[_Purse]:
        """Split what is left evenly; the first children get the remainders."""
        return [_Purse({m: _share(left, n, i) for m, left in self._left.items()}, self) for i in range(n)]


def _share(left: int | None, n: int, index: int) -> int | None:
    return None if left is None else left // n + (index < left % n)


_PAYERS: Final[Mapping[ModelRole, str]] = {"verifier": "judge", "scorer": "scorer"}
"""Whose cost a role's calls are; the generator's for the rest."""


class _Charge(NamedTuple):
    payer: str
    prompt_id: str
    cost: Cost
    fresh: bool


@dataclass
class Ledger:
    """The calls of one turn. The same call asked for twice is charged once."""

    _charges: dict[str, _Charge] = field(default_factory=dict)

    def charge(self, answer: Answer, prompt_id: str, role: ModelRole) -> None:
        payer = _PAYERS.get(role, "generator")
        charge = _Charge(payer, prompt_id, answer.candidate.cost, answer.fresh)
        self._charges.setdefault(answer.call_id, charge)

    def costs(self) -> dict[str, Cost]:
        """The turn's cost by payer, whether or not the journal served its calls."""
        return dict.fromkeys(("generator", "judge", "scorer"), Cost()) | self._sum(fresh_only=False)

    def spent(self) -> Cost:
        """The cost of the calls that were really made."""
        return sum(self._sum(fresh_only=True).values(), Cost())

    def _sum(self, fresh_only: bool) -> dict[str, Cost]:
        """Sum by payer that has any. Of calls that share a prompt, one pays for its prefill."""
        totals: dict[str, Cost] = {}
        prefilled: set[str] = set()
        # Sorted, so that which of two payers is charged does not depend on completion order.
        for _, charge in sorted(self._charges.items()):
            if fresh_only and not charge.fresh:
                continue
            shared = charge.prompt_id in prefilled
            cost = charge.cost.behind_a_shared_prompt() if shared else charge.cost
            totals[charge.payer] = totals.get(charge.payer, Cost()) + cost
            prefilled.add(charge.prompt_id)
        return totals


@dataclass(frozen=True, kw_only=True)
class TurnScope:
    """The engine's Scope (see contracts): one branch of one turn."""

    brokers: Mapping[ModelRole, Broker]
    run_seed: int
    sample: str
    turn: int
    modality: Modality
    ledger: Ledger
    purse: _Purse
    path: tuple[int, ...] = ()

    @classmethod
    def root(
        cls,
        *,
        brokers: Mapping[ModelRole, Broker],
        run_seed: int,
        turn: Turn,
        budget: Budget,
    ) -> TurnScope:
        """The scope of a turn as a whole, with a ledger of its own."""
        return cls(
            brokers=brokers,
            run_seed=run_seed,
            sample=turn.sample,
            turn=turn.number,
            modality=turn.modality,
            ledger=Ledger(),
            purse=_Purse({"image": budget.images, "text": budget.texts}),
        )

    @property
    def seed(self) -> int:
        return branch_seed(self.run_seed, self.sample, self.turn, self.path)

    def prompts(self, role: ModelRole) -> Mapping[str, str]:
        return load(self._broker(role).backbone.capabilities.prompts)

    def child(self, index: int) -> TurnScope:
        return replace(self, path=(*self.path, index))

    def split(self, n: int) -> Sequence[TurnScope]:
        left = self.purse.left(self.modality)
        if left is not None:
            n = max(1, min(n, left))
        return [replace(self.child(index), purse=purse) for index, purse in enumerate(self.purse.shares(n))]

    def as_scorer(self, turn: int | None = None) -> TurnScope:
        purse = _Purse({"image": None, "text": None})
        return replace(self, run_seed=0, turn=turn or self.turn, path=(), purse=purse)

    async def ask(
        self,
        role: ModelRole,
        history: tuple[Message, ...],
        modality: Modality,
        sampling: Sampling,
        *,
        yes_no: bool = False,
    ) -> Candidate:
        left = self.purse.left(modality)
        # A text turn keeps one text call for its answer; plans and checks may not take it.
        reserved = 1 if self.modality == modality and role != "generator" else 0
        if left is not None and left <= reserved:
            raise OutOfBudget(f"turn {self.turn} of {self.sample}: no {modality} call is left in its budget")
        self.purse.spend(modality)
        call = Call(history, modality, self.seed, sampling, yes_no)
        try:
            answer = await self._broker(role).ask(call)
        except BackboneError as error:
            if role == "scorer":  # the turn has its answer; only its score is missing
                raise JudgeError(f"the scorer failed: {error}") from error
            raise
        self.ledger.charge(answer, call.prompt_id, role)
        return answer.candidate if answer.fresh else replace(answer.candidate, fresh=False)

    def _broker(self, role: ModelRole) -> Broker:
        if role == "scorer" and role not in self.brokers:
            raise NoScorer(
                f"turn {self.turn} of {self.sample} is scored by a judge model; choose one: scorer=openai"
            )
        return self.brokers.get(role) or self.brokers["generator"]
