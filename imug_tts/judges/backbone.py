"""A model of the run as the judge: one checklist a turn, answered on each candidate.

A checklist of concrete yes/no questions, shared by all candidates, tells more than one holistic
yes/no (TIFA, Hu et al. 2023, arXiv 2303.11897); P(yes) ranks finer than the word where the model
has logits (VQAScore, Lin et al. 2024, arXiv 2404.01291).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final, NamedTuple

from imug_tts.concurrency import gather_all
from imug_tts.contracts import Backbone, Candidate, JudgeError, OutOfBudget, Scope
from imug_tts.dialogue import Message, Part, Point, Response, Text, Turn, Verdict
from imug_tts.judges._verifier import VerifierJudge
from imug_tts.knobs import component, knob

__all__ = ["BackboneJudge", "ChecklistJudge"]

_MARKER: Final = re.compile(r"^(?:\s|[-*•]|\[[ xX]?\]|\(?\d+[.):])+")
_YES_NO: Final = re.compile(r"\W*(?:answer\W+)?(yes|no)\b\W*(.*)", re.IGNORECASE | re.DOTALL)


class _Answer(NamedTuple):
    question: str
    p_yes: float | None
    """None when no attempt could be read."""
    explanation: str = ""


@component
class ChecklistJudge(VerifierJudge):
    """Score a candidate by the mean P(yes) over a checklist that the verifier writes.

    The checklist is asked greedily on the turn's history alone, so that all candidates of a turn share one
    call and one checklist. If the first checklist cannot be read, each candidate asks for its own. What
    cannot be read is asked again with another seed, at most `max_reasks` times; then the verdict is
    "unparsable".
    """

    max_questions: int = knob("Most questions of a checklist; further ones are dropped.", default=8, ge=1)
    checklist_tokens: int = knob("Most tokens of a checklist.", default=256, ge=1)
    check_tokens: int = knob("Most tokens of the answer to one question.", default=64, ge=1)

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        """Ask for the checklist, then put each question about the response's output.

        Raises:
            JudgeError: a call to the verifier failed.
            TimedOut: a call to the verifier took too long.
            OutOfBudget: the budget does not allow the questions.
        """
        if response.output is None:
            raise JudgeError("a refused response has no output to judge")
        questions = await self._checklist(turn, scope)
        return self._verdict(await self._answers(turn, response.output, questions, scope))

    async def _checklist(self, turn: Turn, scope: Scope) -> list[str]:
        """Questions, at least one; none when no attempt gave any."""
        history = replace(turn, notes=()).prompt(self.prompts(scope)["checklist"])
        for attempt in self.attempts(scope, self.checklist_tokens):
            written = await self.ask(attempt, history)
            if questions := _questions(written.output):
                return questions[: self.max_questions]
        return []

    async def _answers(
        self, turn: Turn, output: Part, questions: Sequence[str], scope: Scope
    ) -> list[_Answer]:
        results = await gather_all(self._answer(turn, output, question, scope) for question in questions)
        answers: list[_Answer] = []
        for result in results:
            if isinstance(result, OutOfBudget):
                raise result
            answers.append(result)
        return answers

    async def _answer(self, turn: Turn, output: Part, question: str, scope: Scope) -> _Answer:
        check = self.prompts(scope)["check"].format(question=question)
        history = (*turn.history, Message("assistant", (output,)), Message("user", (Text(check),)))
        for attempt in self.attempts(scope, self.check_tokens):
            reply = await self.ask(attempt, history, form="yes_no")
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
    """A model of the run, by default the backbone under test, or another one, answers the checklist."""

    verifier: Backbone | None = knob(
        "Another model to ask, e.g. backbone@judge.verifier=openai_chat; null for the run's verifier.",
        default=None,
    )

    @property
    def name(self) -> str:
        return "backbone"

    @property
    def asked_model(self) -> Backbone | None:
        return self.verifier


def _questions(output: Part | None) -> list[str]:
    """One question a line, without bullets, numbers and headings, each once."""
    lines = output.text.splitlines() if isinstance(output, Text) else []
    stripped = (_MARKER.sub("", line).strip() for line in lines)
    return list(dict.fromkeys(line for line in stripped if line and not line.endswith(":")))


def _read(question: str, reply: Candidate) -> _Answer:
    """P(yes) where the model gives it, else the word at the start of its reply as 1 or 0."""
    text = reply.output.text if isinstance(reply.output, Text) else ""
    found = _YES_NO.match(text)
    said_no = found is not None and found[1].lower() == "no"
    explanation = found[2].strip() if found is not None and said_no else ""
    if reply.p_yes is not None:
        return _Answer(question, reply.p_yes, explanation)
    return _Answer(question, None if found is None else float(not said_no), explanation)
