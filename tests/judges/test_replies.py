"""Parsers of judge replies: the right answer, or None, for replies as models write them."""

from __future__ import annotations

import pytest

from imug_tts.judges.replies import YesNo, read_answers, read_checklist, read_preference, read_yes_no

TWO = ["Is there a star?", "Is the star red?"]

CHECKLISTS: list[tuple[str, list[str]]] = [
    ("Is there a star?\nIs the star red?", TWO),
    ("## Checklist\n```\nIs there a star?\nIs the star red?\n```", TWO),
    ("```text\n1. Is there a star?\n2. Is the star red?\n```\nLet me know if you need more!", TWO),
    ("Here is the checklist:\n\n- Is there a star?\n- Is the star red?\n\nI hope this helps!", TWO),
    ("1) Is there a star?\n2) Is the star red?\nWould you like me to verify the image now?", TWO),
    ("(1) Is there a star?\n(2) Is the star red?", TWO),
    ("a. Is there a star?\nb. Is the star red?", TWO),
    ("Q1: Is there a star?\nQ2: Is the star red?", TWO),
    ("**Question 1**: Is there a star?\n**Question 2**: Is the star red?", TWO),
    ("- [ ] Is there a star?\n- [x] **Is the star red?**", TWO),
    ("[ ] Is there a star?\n☐ Is the star red?", TWO),
    ("• Is there a star?\n– Is the star red?", TWO),
    ("> 1\\. Is there a star?\n> 2\\. Is the star red?", TWO),
    ("1. Is there a star? 2. Is the star red?", TWO),
    ("1. Is there a star? (yes/no)\n2. Is the star red? ☐ Yes ☐ No", TWO),
    ("1. **Star present:** Is there a star?\n2. **Color** - Is the star red?", TWO),
    ("1. Star present: Is there a star?\n2. Color: Is the star red?", TWO),
    ("### 1. Presence\n- Is there a star?\n### 2. Color\n- Is the star red?", TWO),
    ("Checklist\n=========\n\nIs there a star?\n\n---\n\nIs the star red?", TWO),
    ("| # | Question |\n|---|---|\n| 1 | Is there a star? |\n| 2 | Is the star red? |", TWO),
    ("| Question | Yes | No |\n|:--|:-:|:-:|\n| Is there a star? | ☐ | ☐ |\n| Is the star red? | | |", TWO),
    ('["Is there a star?", "Is the star red?"]', TWO),
    ('Here you go:\n```json\n["Is there a star?", "Is the star red?"]\n```', TWO),
    ('[{"question": "Is there a star?"}, {"question": "Is the star red?"}]', TWO),
    ('{"checklist": ["Is there a star?", "Is the star red?"], "note": "two points"}', TWO),
    (
        '{"questions": [{"id": 1, "question": "Is there a star?", "expected": "yes"}, "Is the star red?"]}',
        TWO,
    ),
    ('["Is there a star?", "Is the star red?", "Is the ci', TWO),
    ('{\n  "questions": [\n    "Is there a star?",\n    "Is the star red?"\n', TWO),
    ("<think>Is there a dog? Maybe ask that.</think>\nIs there a star?\nIs the star red?", TWO),
    ("1. Is there a dog?\n</think>\n1. Is there a star?\n2. Is the star red?", TWO),
    ("<checklist><item>Is there a star?</item><item>Is the star red?</item></checklist>", TWO),
    ("Is there a star?\nis the star red?\nIs there a star?", ["Is there a star?", "is the star red?"]),
    ("1. What color is the star?\n2. Is there a star?\n3. How many stars are there?", TWO[:1]),
    ("1. 图中有星星吗？\n2. 星星是红色的吗？（是/否）", ["图中有星星吗？", "星星是红色的吗？"]),
    ("¿Hay una estrella?\n¿Es roja?", ["¿Hay una estrella?", "¿Es roja?"]),
    ('Does the sign say "Who?"', ['Does the sign say "Who?"']),
    ("1. **Star:** Is it red?", ["Star: Is it red?"]),
    ("- Is it 3:2?\n- 4 stars there?", ["Is it 3:2?", "4 stars there?"]),
    (
        "Sure:\n\n1. There is a star\n2. The star is red\n\nI hope this helps.",
        ["There is a star", "The star is red"],
    ),
    ('["There is a star", "The star is red"]', ["There is a star", "The star is red"]),
    ("draw c1 purple triangle a2 empty", ["draw c1 purple triangle a2 empty"]),
    ("I am sorry, I cannot see the image.", []),
    ("Could you please share the image?", []),
    ("The user wants a star. I should see to the color, is it red?", []),
    ("## Is this the checklist?", []),
    ("<think>1. Is there a star?\n2. Is the", []),
    ("Checklist:\n```\n```", []),
    ("yes", []),
    ("", []),
]


@pytest.mark.parametrize(("reply", "questions"), CHECKLISTS)
def test_a_checklist_is_its_questions_and_nothing_else(reply: str, questions: list[str]) -> None:
    assert read_checklist(reply) == questions


YES, NO = True, False

VERDICTS: list[tuple[str, bool | None]] = [
    ("Yes", YES),
    ("yes, it is", YES),
    ("YES!", YES),
    ("**Yes** ✅", YES),
    ("`yes`", YES),
    ("- yes", YES),
    ("1. Yes", YES),
    ("> Yes.", YES),
    ("```\nyes\n```", YES),
    ("Yes: the star is at the top.", YES),
    ("Yes, no extra objects are visible.", YES),
    ("yes，它是红色的", YES),
    ("The answer is yes.", YES),
    ("### Answer\nYes", YES),
    ("Answer (yes/no): yes", YES),
    ("The image shows a red star.\n\n**Yes**", YES),
    ('{"answer": "yes", "explanation": "it is red"}', YES),
    ('```json\n{"answer": true}\n```', YES),
    ("\\boxed{yes}", YES),
    ("<reason>Looks red.</reason><answer>yes</answer>", YES),
    ("<think>\n\n</think>\n\nyes", YES),
    ("It may be no, I think. </think>Yes", YES),
    ("◁think▷no◁/think▷yes", YES),
    (
        "<|channel|>analysis<|message|>no?<|end|><|start|>assistant<|channel|>final<|message|>Yes<|return|>",
        YES,
    ),
    ("analysisWe must say yes or no.assistantfinalYes.", YES),
    ("No", NO),
    ("No.", NO),
    ("No。", NO),
    ("no - the star is missing", NO),
    ("No — it is blue", NO),
    ("No, there is no star", NO),
    ("**No**\n\nThe star is missing.", NO),
    ("Answer: **No**, the star is red", NO),
    ("**Answer:**\nNo", NO),
    ("I would say no, since it is blue.", NO),
    ("Unfortunately, no.", NO),
    ("Is the star red? No, it is blue.", NO),
    ("Since the star isn't red, the answer is no.", NO),
    ("The star is blue, not red.\nFinal answer: no", NO),
    ("Let me look. The star is there, yes. But it is blue.\nFinal answer: no", NO),
    ("{'answer': 'no'}", NO),
    ('{"star_present": "no"}', NO),
    ("", None),
    ("Maybe", None),
    ("Yes and no", None),
    ("Yes, and no.", None),
    ("not yes", None),
    ("yes/no", None),
    ("It is not clear: no or yes", None),
    ("Yes?", None),
    ("Yesterday", None),
    ("nothing is wrong", None),
    ("No doubt about it!", None),
    ("No extra objects are visible.", None),
    ("No one is there", None),
    ("No, wait, yes", None),
    ("No. I mean yes.", None),
    ("Yes, if one ignores the color", None),
    ("Yes, partially.", None),
    ("If the star were red, yes.", None),
    ("I don't think the answer is yes", None),
    ("I'm not sure I'd say yes", None),
    ("I cannot say yes.", None),
    ("It is not a no.", None),
    ("yes\n\nno", None),
    ("Yes. The star is blue. Final answer: no", None),
    ("Answer: yes\nAnswer: no", None),
    ("Is the answer no? Yes.", None),
    ("The star is there. Is it blue? No. It is red.", None),
    ("Yes. I am not sure though.", None),
    ("No. I take that back.", None),
    ('{"answer": "yes", "answer": "no"}', None),
    ('{"answer": "unclear"}', None),
    ('{"answer": "yes"} or {"answer": "no"}', None),
    ("<think>The star is red, so yes", None),
    ("<|channel|>analysis<|message|>So the answer is yes", None),
]


@pytest.mark.parametrize(("reply", "answer"), VERDICTS)
def test_yes_or_no_is_what_the_reply_says_or_nothing(reply: str, answer: bool | None) -> None:
    read = read_yes_no(reply)
    assert (None if read is None else read.answer) is answer


@pytest.mark.parametrize(
    "reply", ["No doubt about it: yes.", "No question: yes", "There is no doubt, yes.", "No problem. Yes."]
)
def test_a_no_that_only_counts_something_is_never_the_answer(reply: str) -> None:
    read = read_yes_no(reply)
    assert read is None or read.answer


@pytest.mark.parametrize(
    ("reply", "explanation"),
    [
        ("**No**, it is blue", "it is blue"),
        ("No: it is blue.\nIt is also small.", "it is blue. It is also small."),
        ('{"answer": "no", "reason": "it is blue"}', "it is blue"),
        ("The star is blue.\nFinal answer: no", "The star is blue."),
        ("no", ""),
    ],
)
def test_an_explanation_is_what_the_reply_says_beside_its_no(reply: str, explanation: str) -> None:
    assert read_yes_no(reply) == YesNo(False, explanation)


PREFERENCES: list[tuple[str, str | None]] = [
    ("first", "first"),
    ("**First**", "first"),
    ("First, clearly.", "first"),
    ("The first one.", "first"),
    ("The first image, because it has the star.", "first"),
    ("First - the second lacks the star", "first"),
    ("first\n\nThe first image shows the star; the second does not.", "first"),
    ("The better answer is the first.", "first"),
    ("Final answer: first", "first"),
    ("second", "second"),
    ("Second: it has the star", "second"),
    ("Answer: the second one", "second"),
    ("Second is better than the first", "second"),
    ("The second answer is better because it does not add objects.", "second"),
    ("The first image does not have the star, so the second is better.", "second"),
    ("First, let me compare them. The second is better.", "second"),
    ("At first glance the second looks better.", "second"),
    ("The first is worse. Second.", "second"),
    ("First or second? Second.", "second"),
    ("I would choose the second image over the first.", "second"),
    ("I prefer the first image's colors, but the second wins.", "second"),
    ('{"better": "second"}', "second"),
    ("<think>The first? The first.</think>second", "second"),
    ("first</think>second", "second"),
    ("The first is better in color, and the second in shape.\nFinal answer: second", None),
    ("The first is better in color, but the second is better overall.", None),
    ("First, I look at the star. Hard to say.", None),
    ("First image: it lacks the star.", None),
    ("First answer: a red star", None),
    ("First: a star. Second: no star.", None),
    ("First image: a star. Second image: no star. The second is better.", "second"),
    ("The first, which lacks the star, is worse.", None),
    ("The first image (no star) is worse than the second.", None),
    ("I don't think the first is better.", None),
    ("Neither the first nor the second is better.", None),
    ("The first is not better than the second.", None),
    ("The second would be better if it had a star.", None),
    ("The first is better than the second? No.", None),
    ("First. Final answer: second", None),
    ("Both are equal. First.", None),
    ("It's a tie.", None),
    ("first/second", None),
    ("Not the first", None),
    ("neither", None),
    ("<think>first", None),
    ("", None),
]


@pytest.mark.parametrize(("reply", "place"), PREFERENCES)
def test_a_preference_is_what_the_reply_says_or_nothing(reply: str, place: str | None) -> None:
    assert read_preference(reply) == place


def test_a_fault_of_the_first_is_never_a_preference_for_it() -> None:
    reply = "The first image lacks the star, so the second is better."
    assert read_preference(reply) == "second"


ANSWERS: list[tuple[str, list[bool | None]]] = [
    ("1. yes\n2. no - the star is missing", [YES, NO]),
    ("2. no\n1. yes", [YES, NO]),
    ("1) Yes.\n2) No: blue.\nLet me know!", [YES, NO]),
    ("Here are the answers:\n**1.** yes\n**2.** no", [YES, NO]),
    ("Q1: yes\nQ2: no", [YES, NO]),
    ("Question 1\nYes\nQuestion 2\nNo", [YES, NO]),
    ("1 yes\n2 no", [YES, NO]),
    ("1. yes, 2. no", [YES, NO]),
    ("1. **Is there a star?** Yes\n\n2. **Is it red?**\n   No, it is blue.\n\nOverall, no.", [YES, NO]),
    ("1. Is there a star?\n\n   Yes.\n\n2. Is it red?\n\n   No.", [YES, NO]),
    ("| # | Answer | Note |\n|---|---|---|\n| 1 | Yes | fine |\n| 2 | No | blue |", [YES, NO]),
    ('{"1": "yes", "2": "no"}', [YES, NO]),
    ('{"1": "yes", "2": "no", "summary": "one fault"}', [YES, NO]),
    ('{"answers": [{"id": 2, "answer": "no"}, {"id": 1, "answer": "yes"}]}', [YES, NO]),
    ('{"id": 1, "answer": "yes"}\n{"id": 2, "answer": false}', [YES, NO]),
    ('```json\n["yes", "no"]\n```', [YES, NO]),
    ("[true, false]", [YES, NO]),
    ("yes\nno", [YES, NO]),
    ("- Yes.\n- No, it is blue.\n\nI hope this helps!", [YES, NO]),
    ("<think>1. no\n2. yes</think>1. yes\n2. no", [YES, NO]),
    ("1. yes\n3. no", [YES, None]),
    ("1. yes\n2. unclear", [YES, None]),
    ("1. yes\n2. no\n2. yes", [YES, None]),
    ("0. yes\n1. no", [None, None]),
    ("yes\nmaybe\nno", [None, None]),
    ("yes\nno\nyes", [None, None]),
    ("yes, no", [None, None]),
    ('["yes", "no", "no"]', [None, None]),
    ('{"1": "yes", "1": "no"}', [None, None]),
    ("yes", [None, None]),
    ("", [None, None]),
    ("<think>1. yes\n2. no", [None, None]),
]


@pytest.mark.parametrize(("reply", "answers"), ANSWERS)
def test_answers_to_two_questions_are_read_by_number_or_in_order(
    reply: str, answers: list[bool | None]
) -> None:
    assert [
        read and read.answer if read is None else read.answer for read in read_answers(reply, 2)
    ] == answers


def test_one_answer_needs_no_number() -> None:
    assert read_answers("No, it is blue.", 1) == [YesNo(False, "it is blue.")]
