"""The checklist judge: one checklist per turn, P(yes) per question, and no guessed verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from imug_tts.contracts import (
    BackboneError,
    Candidate,
    Capabilities,
    ConfigurationError,
    JudgeError,
    OutOfBudget,
    Request,
    Scope,
    TimedOut,
)
from imug_tts.dialogue import Message, Response, Text, Turn, Verdict
from imug_tts.judges import BackboneJudge
from imug_tts.prompts import load
from imug_tts.runs import Budget
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone, picture, turn_of, within

PROMPTS = load("default")
DRAWN = Response(strategy="direct", output=picture("a circle"))


def verdict_of(
    backbone: ToyBackbone,
    judge: BackboneJudge | None = None,
    turn: Turn | None = None,
    response: Response = DRAWN,
    budget: Budget | None = None,
) -> Verdict:
    turn = turn or turn_of()

    async def run(scope: Scope) -> Verdict:
        return await (judge or BackboneJudge()).judge(turn, response, scope)

    return within(run, turn, backbone, budget=budget)


def feedback(verdict: Verdict) -> tuple[str, ...]:
    return tuple(point.feedback for point in verdict.failed())


@dataclass
class Scripted(ToyBackbone):
    """Answers every check with the same words, or the words of its n-th attempt."""

    replies: Sequence[tuple[str, float | None]] = (("yes", None),)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        drawn = super().generate(requests)
        return [
            [self._reply(request)] if request.form == "yes_no" else candidates
            for request, candidates in zip(requests, drawn, strict=True)
        ]

    def _reply(self, request: Request) -> Candidate:
        attempts = sum(asked.history == request.history for asked in self.asked)
        text, p_yes = self.replies[min(attempts, len(self.replies)) - 1]
        return Candidate(output=Text(text), p_yes=p_yes)


def test_the_checklist_is_asked_greedily_on_the_history_and_each_question_about_the_output() -> None:
    backbone = ToyBackbone()
    turn = turn_of().note("a note of the strategy")
    verdict = verdict_of(backbone, turn=turn)
    checklist, *checks = backbone.asked
    assert checklist.history == turn_of().prompt(PROMPTS["checklist"])
    assert checklist.sampling.temperature == 0
    texts = [
        PROMPTS["check"].format(question=q) for q in ("Is it bright?", "Is it square?", "Is the star at b2?")
    ]
    said = Message("assistant", (DRAWN.output or Text(""),))
    assert {check.history for check in checks} == {
        (*turn.history, said, Message("user", (Text(text),))) for text in texts
    }
    assert all(check.form == "yes_no" and check.sampling.temperature == 0 for check in checks)
    assert (verdict.status, verdict.judge) == ("ok", "backbone")


def test_the_score_is_the_mean_p_yes_and_failed_points_carry_the_explanation() -> None:
    backbone = Scripted(checklist="Is it red?", replies=[("No: it is blue.", 0.25)])
    verdict = verdict_of(backbone)
    assert verdict.score == 0.25
    assert feedback(verdict) == ("Is it red? it is blue.",)


@pytest.mark.parametrize(
    ("reply", "score"),
    [("Yes", 1.0), ("yes, it is", 1.0), ("**No**, it is blue", 0.0), ("Answer: no", 0.0), ('"Yes."', 1.0)],
)
def test_without_logits_the_word_counts(reply: str, score: float) -> None:
    assert verdict_of(Scripted(replies=[(reply, None)])).score == score


@pytest.mark.parametrize(
    "reply", ["", "Maybe", "Yesterday", "nothing is wrong", "It is not clear: no or yes"]
)
def test_what_is_neither_yes_nor_no_is_asked_again_and_then_unparsable(reply: str) -> None:
    backbone = Scripted(checklist="Is it red?", replies=[(reply, None)])
    verdict = verdict_of(backbone)
    assert (verdict.status, verdict.score) == ("unparsable", None)
    assert "Is it red?" in verdict.detail
    first, *again = [request for request in backbone.asked if request.form == "yes_no"]
    assert len(again) == 2
    assert all(request.sampling.temperature > 0 for request in again)
    assert len({request.seeds for request in (first, *again)}) == 3


def test_an_answer_on_the_second_attempt_counts() -> None:
    verdict = verdict_of(Scripted(checklist="Is it red?", replies=[("Hm.", None), ("Yes", None)]))
    assert (verdict.status, verdict.score) == ("ok", 1.0)


def test_one_unread_question_leaves_the_candidate_unranked_but_keeps_what_failed() -> None:
    able = replace(CAPABILITIES, logits=False)
    verdicts = [
        verdict_of(
            ToyBackbone(capabilities=able, mumble_rate=0.5),
            BackboneJudge(max_reasks=0),
            response=replace(DRAWN, output=picture(str(i))),
        )
        for i in range(20)
    ]
    unparsable = [v for v in verdicts if v.status == "unparsable"]
    assert 0 < len(unparsable) < 20
    assert all(v.score is None for v in unparsable)
    assert any(v.failed() for v in unparsable)


@pytest.mark.parametrize("checklist", ["", "\n \n", "Checklist:", "- \n1."])
def test_no_checklist_is_asked_again_and_then_unparsable(checklist: str) -> None:
    backbone = ToyBackbone(checklist=checklist)
    verdict = verdict_of(backbone)
    assert (verdict.status, verdict.detail) == ("unparsable", "the verifier wrote no checklist")
    assert backbone.prompts_asked() == {"checklist": 3}


def test_bullets_numbers_headings_and_repeats_are_dropped_and_the_rest_is_capped() -> None:
    lines = [
        "Checklist:",
        "1) Is it 3 by 3?",
        "  - Is it red?",
        "2. [ ] Is it red?",
        "* 4 stars?",
        "Is it b2?",
        "x?",
    ]
    backbone = Scripted(checklist="\n".join(lines))
    verdict = verdict_of(backbone, BackboneJudge(max_questions=4))
    asked = [line.split(" ", 1)[1] for line in verdict.detail.splitlines()]
    assert asked == ["Is it 3 by 3?", "Is it red?", "4 stars?", "Is it b2?"]


def test_headings_fences_and_closing_words_of_a_checklist_are_never_asked() -> None:
    checklist = "## Checklist\n```\n1. Is it red?\n2. Is it round?\n```\nLet me know if you need more!"
    verdict = verdict_of(Scripted(checklist=checklist))
    assert verdict.score == 1
    assert verdict.detail == "1.000 Is it red?\n1.000 Is it round?"


@pytest.mark.parametrize("reply", ["No doubt about it: yes.", "<think>Is it red? Yes", "Yes, and no."])
def test_a_reply_that_only_looks_like_an_answer_is_never_a_score(reply: str) -> None:
    verdict = verdict_of(Scripted(checklist="Is it red?", replies=[(reply, None)]))
    assert (verdict.status, verdict.score, feedback(verdict)) == ("unparsable", None, ())


def test_reasoning_before_an_answer_does_not_count() -> None:
    backbone = Scripted(checklist="Is it red?", replies=[("<think>Yes?</think>No, it is blue.", None)])
    verdict = verdict_of(backbone)
    assert (verdict.score, feedback(verdict)) == (0, ("Is it red? it is blue.",))


def test_p_yes_counts_whatever_the_words_say() -> None:
    backbone = Scripted(checklist="Is it red?", replies=[("no a1 b2", 0.25)])
    verdict = verdict_of(backbone)
    assert (verdict.score, feedback(verdict)) == (0.25, ("Is it red? a1 b2",))


def test_a_text_answer_is_judged_like_an_image() -> None:
    backbone = ToyBackbone()
    verdict = verdict_of(
        backbone, turn=turn_of("text"), response=Response(strategy="direct", output=Text("B"))
    )
    assert verdict.status == "ok"
    assert all(
        r.history[-2] == Message("assistant", (Text("B"),)) for r in backbone.asked if r.form == "yes_no"
    )


def test_the_words_of_the_pocket_model_work_alike() -> None:
    backbone = ToyBackbone(capabilities=replace(CAPABILITIES, prompts="pocket"), checklist="b2 red star")
    assert verdict_of(backbone).status == "ok"
    assert [r.history[-1].parts[-1] for r in backbone.asked] == [Text("checklist"), Text("check b2 red star")]


def test_too_small_a_budget_is_said_and_not_judged() -> None:
    with pytest.raises(OutOfBudget):
        verdict_of(ToyBackbone(), budget=Budget(texts=3))


@pytest.mark.parametrize(
    ("error", "raised"), [(BackboneError("down"), JudgeError), (TimedOut("late"), TimedOut)]
)
def test_a_verifier_that_fails_is_a_judge_error(error: BackboneError, raised: type[Exception]) -> None:
    class Failing(ToyBackbone):
        def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
            raise error

    with pytest.raises(raised, match=str(error)):
        verdict_of(Failing())


WORDS_ONLY = replace(CAPABILITIES, logits=False)
TOGETHER = BackboneJudge(ask="together")


@dataclass
class Teller(Scripted):
    """Answers all questions of a checklist with one text, and single ones as `Scripted` does."""

    capabilities: Capabilities = WORDS_ONLY
    all_at_once: str = "1. Yes\n2. No, it is round.\n3. yes"

    def _write(self, history: tuple[Message, ...], seed: int, noise: str) -> str:
        asked = history[-1].parts[-1]
        known = super()._write(history, seed, noise)
        return known if known == self.checklist else self.all_at_once if "1. Is" in str(asked) else known


def test_together_all_questions_about_a_candidate_are_one_call() -> None:
    backbone = Teller()
    verdict = verdict_of(backbone, TOGETHER)
    checklist, check = backbone.asked
    listed = "1. Is it bright?\n2. Is it square?\n3. Is the star at b2?"
    said = (Message("assistant", (DRAWN.output or Text(""),)),)
    question = PROMPTS["check_all"].format(questions=listed)
    assert checklist.history == turn_of().prompt(PROMPTS["checklist"])
    assert check.history == (*turn_of().history, *said, Message("user", (Text(question),)))
    assert (check.sampling.temperature, check.sampling.max_tokens) == (0, 3 * 64)
    assert verdict.status == "ok"
    assert verdict.score == pytest.approx(2 / 3)
    assert feedback(verdict) == ("Is it square? it is round.",)


@pytest.mark.parametrize(
    ("reply", "alone"),
    [("1. yes\n3. yes", 1), ("1. yes\n2. yes\n2. no\n3. yes", 1), ("2. yes", 2), ("Looks fine.", 3), ("", 3)],
)
def test_together_only_what_was_not_read_is_asked_alone(reply: str, alone: int) -> None:
    backbone = Teller(all_at_once=reply)
    verdict = verdict_of(backbone, TOGETHER)
    assert (verdict.status, verdict.score) == ("ok", 1)
    assert len([request for request in backbone.asked if request.form == "yes_no"]) == alone
    assert len(backbone.asked) == 2 + alone


@pytest.mark.parametrize("max_reasks", [0, 1, 3])
def test_together_a_question_is_asked_again_so_often_and_then_unparsable(max_reasks: int) -> None:
    backbone = Teller(all_at_once="1. yes\n2. hm\n3. no", replies=[("hm", None)])
    verdict = verdict_of(backbone, replace(TOGETHER, max_reasks=max_reasks))
    assert (verdict.status, verdict.score) == ("unparsable", None)
    assert verdict.detail == "neither yes nor no to: Is it square?"
    assert feedback(verdict) == ("Is the star at b2?",)
    assert len(backbone.asked) == 2 + max_reasks


def test_together_no_checklist_means_no_further_call() -> None:
    backbone = Teller(checklist="Sorry.")
    assert verdict_of(backbone, TOGETHER).status == "unparsable"
    assert len(backbone.asked) == 3


def test_another_way_to_ask_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ask is 'all'"):
        BackboneJudge(ask="all")  # type: ignore[arg-type]


@pytest.mark.parametrize("knobs", [{"max_questions": 0}, {"max_reasks": -1}, {"reask_temperature": 0}])
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(knobs))} is"):
        BackboneJudge(**knobs)
