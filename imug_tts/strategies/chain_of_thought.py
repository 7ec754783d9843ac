"""Plan in words first, then answer (Chain-of-Thought; Wei et al. 2022, arXiv 2201.11903)."""

from __future__ import annotations

from dataclasses import replace

from imug_tts.contracts import ConfigurationError, Models, OutOfBudget, Sampling, Scope, Setting, Strategy
from imug_tts.dialogue import Modality, Response, Text, Turn
from imug_tts.knobs import Several, component, knob
from imug_tts.strategies._knobs import APPLIES_TO
from imug_tts.strategies._selection import adopt

__all__ = ["ChainOfThought"]


@component
class ChainOfThought(Strategy):
    """Ask for a plan (image turns) or reasoning (text turns), then let `inner` answer after it.

    The plan conditions this turn. It enters the dialogue's history only with `keep_plan`.
    """

    inner: Strategy = knob("How the answer is made, given the plan.")
    plan_temperature: float = knob("Temperature of plans; 0 is greedy.", default=0.3, ge=0)
    plan_tokens: int = knob("Most tokens of a plan.", default=256, ge=1)
    keep_plan: bool = knob("Whether the plan stays in the dialogue's history.", default=False)
    applies_to: Several[Modality] = knob(APPLIES_TO, default=("text", "image"), min_length=1)

    @property
    def name(self) -> str:
        return "cot"

    @property
    def models(self) -> Models:
        return {"planner": None}

    def acts_on(self, modality: Modality) -> bool:
        return modality in self.applies_to

    def varies(self, modality: Modality) -> bool | None:
        return self.plan_temperature > 0 or None

    def check(self, setting: Setting) -> None:
        """The planner must write text, and only the outermost of several such layers can keep its plan."""
        known = setting.capabilities("planner").outputs
        if any(map(self.acts_on, setting.posed)) and "text" not in known:
            raise ConfigurationError(
                f"cot asks for plans, and the planner outputs {' and '.join(sorted(known))} only; choose one "
                "that outputs text: backbone@roles.planner=NAME"
            )
        if self.keep_plan and setting.is_inside(ChainOfThought):
            raise ConfigurationError(
                "cot inside another cot cannot keep its plan, which only the outermost can; "
                "set keep_plan=true on the outermost cot"
            )

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
