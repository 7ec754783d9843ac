"""Determines the right letters of a dialogue's dynamic questions from what the model drew before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from imug_tts.contracts import JudgeError, NoScorer, Scope
from imug_tts.dialogue import Image, Part, Sample, Text
from imug_tts.scoring import mcq
from imug_tts.scoring.dynamic import ReferencedTurn, Resolution, resolve

__all__ = ["RightLetters", "output_image"]


@dataclass
class RightLetters:
    """Asks the scorer for the right letters of dynamic questions, at most once per question.

    A dynamic question may refer to another one. Then the scorer is shown the right letters of that earlier
    turn. They are requested in the earlier turn's own scope, so the call equals that of scoring the earlier
    turn, and the journal serves it.
    """

    sample: Sample
    outputs: Sequence[Part | None]
    """The answers up to the turn that is scored."""
    scope: Scope
    """The scope of the turn that is scored."""
    earlier: dict[int, str] = field(default_factory=dict)
    """The letters determined for earlier turns, by turn number."""

    async def of_this_turn(self) -> Resolution:
        """The right letters of the turn that is scored.

        Raises:
            NoScorer: the run has no scorer.
            Unresolved: no reply of the scorer names the letters.
            JudgeError: the scorer failed, or an earlier turn that it must see lacks its image or letters.
        """
        return await self._resolve(len(self.outputs), self.scope)

    async def _resolve(self, number: int, scope: Scope) -> Resolution:
        question = self.sample.questions[number - 1]
        turns = [
            ReferencedTurn(turn, self.sample.questions[turn - 1].parts, await self._answer(number, turn))
            for turn in question.key["ref_turns"]
        ]
        return await resolve(
            scope,
            turns=turns,
            question=question.parts,
            fixed=frozenset(mcq.united(question.key["answer"], "")),
            multiple_choice=(self.sample.domain, self.sample.task) == ("Botany", "natural_growth"),
        )

    async def _answer(self, number: int, turn: int) -> Part:
        """The answer of an earlier turn that the scorer of turn `number` is shown."""
        question = self.sample.questions[turn - 1]
        if question.modality == "image":
            return output_image(self.sample, self.outputs, turn, judged=number)
        if mcq.DYNAMIC not in question.key["answer"]:
            return Text(question.key["answer"])
        return Text(await self._earlier(number, turn))

    async def _earlier(self, number: int, turn: int) -> str:
        if turn not in self.earlier:
            try:
                resolution = await self._resolve(turn, self.scope.as_scorer(turn))
            except NoScorer:
                raise
            except JudgeError as error:
                raise JudgeError(
                    f"turn {number} of {self.sample.name} depends on the right letters of turn {turn}, which "
                    f"could not be found: {error}"
                ) from error
            self.earlier[turn] = "".join(sorted(resolution.letters))
        return self.earlier[turn]


def output_image(sample: Sample, outputs: Sequence[Part | None], number: int, *, judged: int) -> Image:
    """The model's image of turn `number`.

    Raises:
        JudgeError: the image is missing, and turn `judged` needs it.
    """
    output = outputs[number - 1]
    if not isinstance(output, Image):
        raise JudgeError(
            f"turn {judged} of {sample.name} is judged beside the image of turn {number}, which is missing"
        )
    return output
