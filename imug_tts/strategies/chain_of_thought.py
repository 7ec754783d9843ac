"""Chain-of-thought: plan in words first, then answer (Wei et al. 2022, arXiv 2201.11903)."""

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
    """Generate a plan (image turns) or reasoning (text turns), then let `inner` answer with it as a note.

    The plan conditions this turn only, unless `keep_plan` puts it into the dialogue's history.
    """

    inner: Strategy = knob("Strategy that answers, given the plan.")
    plan_temperature: float = knob("Temperature of plans; 0 is greedy.", default=0.3, ge=0)
    plan_tokens: int = knob("Most tokens of a plan.", default=256, ge=1)
    keep_plan: bool = knob("Whether the plan enters the dialogue's history.", default=False)
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
        """Check that the planner outputs text, and that only the outermost cot layer keeps its plan."""
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
        """Return the answer of `inner` after a plan; without one if the planner or the budget gives none.

        Raises:
            OutOfBudget: the budget does not allow the answer.
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
        """Return `answer` as this layer's response, with the plan.

        If the answer has candidates, a plan or a note of its own, it becomes the only candidate of a new
        response.
        """
        if answer.candidates or answer.plan or answer.note:
            answer = adopt(self.name, (answer,), 0)
        return replace(answer, strategy=self.name, plan=plan, keep_plan=self.keep_plan, note=note)
