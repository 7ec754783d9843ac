"""The checklist judge: a model writes one checklist per turn, and answers it for each candidate.

A checklist of concrete yes/no questions, shared by all candidates, is more informative than one holistic
yes/no question (TIFA, Hu et al. 2023, arXiv 2303.11897). P(yes) ranks more finely than the word, if the model
has logits (VQAScore, Lin et al. 2024, arXiv 2404.01291).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from statistics import fmean
from typing import Final, Literal, NamedTuple

from imug_tts.concurrency import gather_all
from imug_tts.contracts import (
    Backbone,
    Candidate,
    ConfigurationError,
    JudgeError,
    OutOfBudget,
    Scope,
    Setting,
)
from imug_tts.dialogue import Message, Modality, Part, Point, Response, Text, Turn, Verdict
from imug_tts.final_text import final_text
from imug_tts.judges._verifier import VerifierJudge
from imug_tts.judges.replies import YesNo, read_answers, read_checklist, read_yes_no
from imug_tts.knobs import component, knob

__all__ = ["BackboneJudge", "ChecklistJudge"]

_AFTER_NO: Final = re.compile(r"\W*no\b\W*(.*)", re.IGNORECASE | re.DOTALL)
"""The explanation after "no" in a reply with P(yes)."""


class _Answer(NamedTuple):
    question: str
    p_yes: float | None
    """None if no reply could be parsed."""
    explanation: str = ""


@component
class ChecklistJudge(VerifierJudge):
    """Scores a candidate by the mean P(yes) over a checklist that the verifier writes.

    The checklist is requested greedily for the turn's history alone, so that all candidates of a turn share
    one call and one checklist. If the first checklist cannot be parsed, each candidate requests its own.
    Unreadable replies are retried with other seeds, at most `max_reasks` times; then the verdict is
    "unparsable".
    """

    ask: Literal["each", "together"] = knob(
        "each: one call per question; together: one call for all questions about a candidate, which sends "
        "the images once and has no P(yes). Unread answers of that call are retried one by one.",
        default="each",
    )
    max_questions: int = knob("Most questions of a checklist; further ones are ignored.", default=8, ge=1)
    checklist_tokens: int = knob("Most tokens of a checklist.", default=256, ge=1)
    check_tokens: int = knob("Most tokens of the answer to one question.", default=64, ge=1)

    def check(self, setting: Setting, modalities: Sequence[Modality], layer: str) -> None:
        """Check as the base class does, and that a verifier with logits is asked each question separately."""
        super().check(setting, modalities, layer)
        if modalities and self.ask == "together" and setting.capabilities(self.role, self.asked_model).logits:
            raise ConfigurationError(
                f"the judge of {layer} asks all questions together, which gives up the P(yes) that "
                f"the {self.role} has for each; set ask=each on that judge"
            )

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Return the verdict on the response's output: the verifier answers each question of the checklist.

        Raises:
            JudgeError: a call to the verifier failed.
            TimedOut: a call to the verifier exceeded its time limit.
            OutOfBudget: the budget does not allow the questions.
        """
        if response.output is None:
            raise JudgeError("a refused response has no output to judge")
        questions = await self._checklist(turn, scope)
        asking = self._together if self.ask == "together" else self._one_by_one
        shown = (*turn.history, Message("assistant", (response.output,)))
        return self._verdict(await asking(shown, questions, scope))

    async def _checklist(self, turn: Turn, scope: Scope) -> list[str]:
        """Return the questions of the checklist; none if no attempt could be parsed."""
        history = replace(turn, notes=()).prompt(self.prompts(scope)["checklist"])
        for attempt in self.attempts(scope, self.checklist_tokens):
            written = await self.reply(attempt, history)
            if questions := read_checklist(_text(written.output)):
                return questions[: self.max_questions]
        return []

    async def _together(
        self, shown: tuple[Message, ...], questions: Sequence[str], scope: Scope
    ) -> list[_Answer]:
        """Return the answers of one call for all questions.

        Unread questions are retried in calls of their own.
        """
        if not questions:
            return []
        numbered = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, 1))
        check = self.prompts(scope)["check_all"].format(questions=numbered)
        attempt = next(self.attempts(scope, self.check_tokens * len(questions)))
        history = (*shown, Message("user", (Text(check),)))
        reply = await self.reply(attempt, history)
        answers = read_answers(_text(reply.output), len(questions))
        read = [_answer(*each) for each in zip(questions, answers, strict=True)]
        unread = [answer.question for answer in read if answer.p_yes is None]
        again = iter(await self._one_by_one(shown, unread, scope, most=self.max_reasks))
        return [next(again) if answer.p_yes is None else answer for answer in read]

    async def _one_by_one(
        self, shown: tuple[Message, ...], questions: Sequence[str], scope: Scope, most: int | None = None
    ) -> list[_Answer]:
        """Return the answers of one call per question, with at most `most` attempts each."""
        asked = (self._one(shown, question, scope, most) for question in questions)
        answers: list[_Answer] = []
        for result in await gather_all(asked):
            if isinstance(result, OutOfBudget):
                raise result
            answers.append(result)
        return answers

    async def _one(
        self, shown: tuple[Message, ...], question: str, scope: Scope, most: int | None
    ) -> _Answer:
        check = self.prompts(scope)["check"].format(question=question)
        history = (*shown, Message("user", (Text(check),)))
        for attempt in islice(self.attempts(scope, self.check_tokens), most):
            reply = await self.reply(attempt, history, form="yes_no")
            answer = _read(question, reply)
            if answer.p_yes is not None:
                return answer
        return _Answer(question, None)

    def _verdict(self, answers: Sequence[_Answer]) -> Verdict:
        points = tuple(
            Point(answer.question, answer.p_yes, answer.explanation)
            for answer in answers
            if answer.p_yes is not None
        )
        if not answers:
            return Verdict(status="unparsable", judge=self.name, detail="the verifier wrote no checklist")
        if len(points) < len(answers):
            unread = "; ".join(answer.question for answer in answers if answer.p_yes is None)
            detail = f"neither yes nor no to: {unread}"
            return Verdict(status="unparsable", judge=self.name, points=points, detail=detail)
        detail = "\n".join(f"{point.probability:.3f} {point.text}" for point in points)
        score = fmean(point.probability for point in points)
        return Verdict(status="ok", judge=self.name, score=score, points=points, detail=detail)


@component
class BackboneJudge(ChecklistJudge):
    """The checklist judge with the run's verifier (by default the backbone under test) or another model."""

    verifier: Backbone | None = knob(
        "Model that answers, e.g. backbone@judge.verifier=openai_chat; null for the run's verifier.",
        default=None,
    )

    @property
    def name(self) -> str:
        return "backbone"

    @property
    def asked_model(self) -> Backbone | None:
        return self.verifier


def _text(output: Part | None) -> str:
    return output.text if isinstance(output, Text) else ""


def _read(question: str, reply: Candidate) -> _Answer:
    """Return P(yes) if the model gives it, otherwise 1 for yes and 0 for no."""
    text = _text(reply.output)
    if reply.p_yes is not None:
        wrong = _AFTER_NO.match(final_text(text))
        return _Answer(question, reply.p_yes, wrong[1].strip() if wrong else "")
    return _answer(question, read_yes_no(text))


def _answer(question: str, read: YesNo | None) -> _Answer:
    """Return a parsed yes or no as P(yes)."""
    if read is None:
        return _Answer(question, None)
    return _Answer(question, float(read.answer), "" if read.answer else read.explanation)
