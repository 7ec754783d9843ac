"""The engine's implementation of Scope: one branch of one turn, with models, seed, budget and ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from imug_tts.calls.brokers import Brokers
from imug_tts.calls.budget import Allowance, Budget
from imug_tts.calls.call import Call
from imug_tts.calls.ledger import Ledger
from imug_tts.calls.seeds import branch_seed
from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Candidate,
    Form,
    JudgeError,
    ModelRole,
    NoScorer,
    OutOfBudget,
    Sampling,
)
from imug_tts.dialogue import Message, Modality, Turn
from imug_tts.prompts import load

__all__ = ["OnCall", "TurnScope"]

OnCall = Callable[[ModelRole, Backbone, Modality], None]


@dataclass(frozen=True, kw_only=True)
class TurnScope:
    """One branch of one turn. Implements `imug_tts.contracts.Scope`."""

    models: Mapping[ModelRole, Backbone]
    """The run's model of each role; only a scorer may be missing."""
    brokers: Brokers
    run_seed: int
    sample: str
    turn: int
    modality: Modality
    ledger: Ledger
    allowance: Allowance
    on_call: OnCall = lambda role, model, modality: None
    """Called after every call that was made, not answered by the journal."""
    path: tuple[int, ...] = ()

    @classmethod
    def root(
        cls,
        *,
        models: Mapping[ModelRole, Backbone],
        brokers: Brokers,
        run_seed: int,
        turn: Turn,
        budget: Budget,
        on_call: OnCall = lambda role, model, modality: None,
    ) -> TurnScope:
        """Return the scope of a whole turn, with a new ledger and the full budget."""
        return cls(
            models=models,
            brokers=brokers,
            run_seed=run_seed,
            sample=turn.sample,
            turn=turn.number,
            modality=turn.modality,
            ledger=Ledger(),
            allowance=Allowance.of(budget),
            on_call=on_call,
        )

    @property
    def seed(self) -> int:
        return branch_seed(self.run_seed, self.sample, self.turn, self.path)

    def prompts(self, role: ModelRole, model: Backbone | None = None) -> Mapping[str, str]:
        return load((model or self._model(role)).capabilities.prompts)

    def child(self, index: int) -> TurnScope:
        return replace(self, path=(*self.path, index))

    def split(self, n: int) -> Sequence[TurnScope]:
        left = self.allowance.left(self.modality)
        if left is not None:
            n = max(1, min(n, left))
        return [
            replace(self.child(index), allowance=share)
            for index, share in enumerate(self.allowance.shares(n))
        ]

    def as_scorer(self, turn: int | None = None) -> TurnScope:
        unlimited = Allowance.of(Budget())
        return replace(self, run_seed=0, turn=turn or self.turn, path=(), allowance=unlimited)

    async def ask(
        self,
        role: ModelRole,
        history: tuple[Message, ...],
        modality: Modality,
        sampling: Sampling,
        *,
        form: Form = "free",
        model: Backbone | None = None,
    ) -> Candidate:
        asked = model or self._model(role)
        broker = self.brokers.of(asked)
        left = self.allowance.left(modality)
        # A text turn reserves one text call for its answer; plans and checks may not spend it.
        reserved = 1 if self.modality == modality and role != "generator" else 0
        if left is not None and left <= reserved:
            raise OutOfBudget(f"turn {self.turn} of {self.sample}: no {modality} call is left in its budget")
        self.allowance.spend(modality)
        call = Call(history, modality, self.seed, sampling, form)
        try:
            answer = await broker.ask(call)
        except BackboneError as error:
            self.on_call(role, asked, modality)
            if role == "scorer":  # not a failed turn: only the score is missing
                raise JudgeError(f"the scorer failed: {error}") from error
            raise
        self.ledger.charge(answer, call.prompt_id, role)
        if answer.is_new:
            self.on_call(role, asked, modality)
        return answer.candidate if answer.is_new else replace(answer.candidate, is_new=False)

    def _model(self, role: ModelRole) -> Backbone:
        if role == "scorer" and role not in self.models:
            raise NoScorer(f"turn {self.turn} of {self.sample} is scored by a judge model, and there is none")
        return self.models.get(role) or self.models["generator"]
