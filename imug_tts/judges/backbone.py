"""A model of the run as the judge: one checklist a turn, answered on each candidate.

A checklist of concrete yes/no questions, shared by all candidates, tells more than one holistic
yes/no (TIFA, Hu et al. 2023, arXiv 2303.11897); P(yes) ranks finer than the word where the model
has logits (VQAScore, Lin et al. 2024, arXiv 2404.01291).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean
from typing import Final, Literal, NamedTuple

from imug_tts.concurrency import gather_all
from imug_tts.contracts import (
    BackboneError,
    Candidate,
    ConfigurationError,
    JudgeError,
    OutOfBudget,
    Scope,
    TimedOut,
)
from imug_tts.dialogue import Message, Part, Response, Text, Turn, Verdict
from imug_tts.final_text import final_text
from imug_tts.judges._verifier import VerifierJudge
from imug_tts.judges.replies import YesNo, read_answers, read_checklist, read_yes_no

__all__ = ["BackboneJudge"]

_AFTER_NO: Final = re.compile(r"\W*no\b\W*(.*)", re.IGNORECASE | re.DOTALL)
"""What is wrong, in the reply of a model whose P(yes) is the answer; it needs no reading."""


class _Answer(NamedTuple):
    question: str
    p_yes: float | None
    """None when no attempt could be read."""
    explanation: str = ""

    @property
    def failed(self) -> bool:
        return self.p_yes is not None and self.p_yes < 0.5

    @property
    def as_feedback(self) -> str:
        return f"{self.question} {self.explanation}".strip()


@dataclass(frozen=True, kw_only=True)
class BackboneJudge(VerifierJudge):
    """Score a candidate by the mean P(yes) over a checklist that the verifier writes.

    The checklist is asked greedily on the turn's history alone, so that all candidates of a turn
    share one call and one checklist (a checklist that had to be asked again is the candidate's own).
    What cannot be read is asked again with another seed, at most `max_reasks` times; then the
    verdict is "unparsable".
    """

    ask: Literal["each", "together"] = "each"
    """Whether each question is a call of its own, or all questions about a candidate are one call.

    Together they cost one call, and images are sent once; but a model has no P(yes) for several answers at
    once, so that a verifier with logits is refused. What the reply leaves unread is asked one by one.
    """
    max_questions: int = 8
    checklist_tokens: int = 256
    check_tokens: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ask not in ("each", "together"):
            raise ConfigurationError(f"judge {self.name}: ask is {self.ask!r}; set it to each or together")
        for knob in ("max_questions", "checklist_tokens", "check_tokens"):
            self._at_least(knob, 1)

    @property
    def name(self) -> str:
        return "backbone"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Ask for the checklist, then put each question about the response's output.

        Raises:
            JudgeError: a call to the verifier failed.
            TimedOut: a call to the verifier took too long.
            OutOfBudget: the budget does not allow the questions.
        """
        if response.output is None:
            raise JudgeError("a refused response has no output to judge")
        try:
            questions = await self._checklist(turn, scope)
            asking = self._together if self.ask == "together" else self._one_by_one
            shown = (*turn.history, Message("assistant", (response.output,)))
            answers = await asking(shown, questions, scope)
        except TimedOut:
            raise
        except BackboneError as error:
            raise JudgeError(f"the verifier failed: {error}") from error
        return self._verdict(answers)

    async def _checklist(self, turn: Turn, scope: Scope) -> list[str]:
        """Questions, at least one; none when no attempt gave any."""
        history = replace(turn, notes=()).prompt(scope.prompts(self.role)["checklist"])
        for attempt in self.attempts(scope, self.checklist_tokens):
            written = await attempt.scope.ask(self.role, history, "text", attempt.sampling)
            if questions := read_checklist(_text(written.output)):
                return questions[: self.max_questions]
        return []

    async def _together(
        self, shown: tuple[Message, ...], questions: Sequence[str], scope: Scope
    ) -> list[_Answer]:
        """One call for all questions. Each unread one is asked alone, at most `max_reasks` times."""
        if not questions:
            return []
        numbered = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, 1))
        check = scope.prompts(self.role)["check_all"].format(questions=numbered)
        attempt = next(self.attempts(scope, self.check_tokens * len(questions)))
        history = (*shown, Message("user", (Text(check),)))
        reply = await attempt.scope.ask(self.role, history, "text", attempt.sampling)
        answers = read_answers(_text(reply.output), len(questions))
        read = [_answer(*each) for each in zip(questions, answers, strict=True)]
        unread = [answer.question for answer in read if answer.p_yes is None]
        again = iter(await self._one_by_one(shown, unread, scope, most=self.max_reasks))
        return [next(again) if answer.p_yes is None else answer for answer in read]

    async def _one_by_one(
        self, shown: tuple[Message, ...], questions: Sequence[str], scope: Scope, most: int | None = None
    ) -> list[_Answer]:
        """Each question in a call of its own, attempted at most `most` times."""
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
        check = scope.prompts(self.role)["check"].format(question=question)
        history = (*shown, Message("user", (Text(check),)))
        for attempt in islice(self.attempts(scope, self.check_tokens), most):
            reply = await attempt.scope.ask(self.role, history, "text", attempt.sampling, yes_no=True)
            answer = _read(question, reply)
            if answer.p_yes is not None:
                return answer
        return _Answer(question, None)

    def _verdict(self, answers: Sequence[_Answer]) -> Verdict:
        read = [answer.p_yes for answer in answers if answer.p_yes is not None]
        failed = tuple(answer.as_feedback for answer in answers if answer.failed)
        if not answers:
            return Verdict(status="unparsable", judge=self.name, detail="the verifier wrote no checklist")
        if len(read) < len(answers):
            unread = "; ".join(answer.question for answer in answers if answer.p_yes is None)
            detail = f"neither yes nor no to: {unread}"
            return Verdict(status="unparsable", judge=self.name, failed=failed, detail=detail)
        detail = "\n".join(f"{answer.p_yes:.3f} {answer.question}" for answer in answers)
        return Verdict(status="ok", judge=self.name, score=fmean(read), failed=failed, detail=detail)


def _text(output: Part | None) -> str:
    return output.text if isinstance(output, Text) else ""


def _read(question: str, reply: Candidate) -> _Answer:
    """P(yes) where the model gives it, else its word as 1 or 0."""
    text = _text(reply.output)
    if reply.p_yes is not None:
        wrong = _AFTER_NO.match(final_text(text))
        return _Answer(question, reply.p_yes, wrong[1].strip() if wrong else "")
    return _answer(question, read_yes_no(text))


def _answer(question: str, read: YesNo | None) -> _Answer:
    """What was read of a reply, as P(yes)."""
    if read is None:
        return _Answer(question, None)
    return _Answer(question, float(read.answer), "" if read.answer else read.explanation)
