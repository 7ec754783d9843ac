"""Plan in words first, then answer (Chain-of-Thought; Wei et al. 2022, arXiv 2201.11903)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imug_tts.contracts import OutOfBudget, Sampling, Scope, Strategy
from imug_tts.dialogue import Modality, Response, Text, Turn
from imug_tts.strategies._knobs import at_least, need_modalities
from imug_tts.strategies._selection import adopt

__all__ = ["ChainOfThought"]


@dataclass(frozen=True, kw_only=True)
class ChainOfThought:
    """Ask for a plan (image turns) or reasoning (text turns), then let `inner` answer behind it.

    The plan conditions this turn. It enters the dialogue's history only with `keep_plan`.
    """

    inner: Strategy
    plan_temperature: float = 0.3
    plan_tokens: int = 256
    keep_plan: bool = False
    applies_to: tuple[Modality, ...] = ("text", "image")

    def __post_init__(self) -> None:
        at_least(self.name, "plan_temperature", self.plan_temperature, 0)
        at_least(self.name, "plan_tokens", self.plan_tokens, 1)
        need_modalities(self.name, self.applies_to)

    @property
    def name(self) -> str:
        return "cot"

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """Plan, then `inner`; without a plan if the planner gives none or the budget allows none.

        Raises:
            OutOfBudget: nothing is left for the answer itself.
            BackboneError: a call failed.
        """
        if turn.modality not in self.applies_to:
            return await self.inner.respond(turn, scope)
        try:
            plan = await self._plan(turn, scope)
            note = "" if plan else "no plan: the planner gave none"
        except OutOfBudget:
            plan, note = None, "no plan: out of budget"
        if plan:
            follow = "follow_plan" if turn.modality == "image" else "follow_reason"
            turn = turn.note(scope.prompts("generator")[follow].format(plan=plan))
        return self._frame(await self.inner.respond(turn, scope), plan, note)

    async def _plan(self, turn: Turn, scope: Scope) -> str | None:
        prompt = scope.prompts("planner")["plan" if turn.modality == "image" else "reason"]
        sampling = Sampling(temperature=self.plan_temperature, max_tokens=self.plan_tokens)
        planned = await scope.ask("planner", turn.prompt(prompt), "text", sampling)
        return (planned.output.text.strip() or None) if isinstance(planned.output, Text) else None

    def _frame(self, answer: Response, plan: str | None, note: str) -> Response:
        """A plain answer becomes this layer's own; one with a story of its own is kept below it."""
        if answer.candidates or answer.plan or answer.note:
            answer = adopt(self.name, (answer,), 0)
        return replace(answer, strategy=self.name, plan=plan, keep_plan=self.keep_plan, note=note)
