"""Markup, reasoning and polite words around a reply do not change its parsed answer."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from imug_tts.judges.replies import YesNo, read_answers, read_checklist, read_preference, read_yes_no

WRAPPERS: dict[str, Callable[[str], str]] = {
    "reasoning": lambda text: f"<think>Yes? No. The first? Is it so?\n1. no</think>\n{text}",
    "reasoning without a start": lambda text: f"Hm. No. The first.\n1. Is it?\n</thinking>\n\n{text}",
    "empty reasoning": lambda text: f"<reasoning>\n</reasoning>\n{text}",
    "channels": lambda text: (
        f"<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>{text}<|return|>"
    ),
    "fence": lambda text: f"```text\n{text}\n```",
    "heading": lambda text: f"## My reply\n\n{text}",
    "introduction": lambda text: f"Here it is:\n\n{text}",
    "closing": lambda text: f"{text}\n\nI hope this helps!",
    "control token": lambda text: f"{text}<|im_end|>",
    "windows": lambda text: text.replace("\n", "\r\n") + "\r\n",
}
wrapped = st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=3, unique=True)

ITEMS: dict[str, Callable[[int, str], str]] = {
    "dash": lambda number, text: f"- {text}",
    "star": lambda number, text: f"* {text}",
    "dot": lambda number, text: f"{number}. {text}",
    "parenthesis": lambda number, text: f"{number}) {text}",
    "both": lambda number, text: f"({number}) {text}",
    "Q": lambda number, text: f"Q{number}: {text}",
    "box": lambda number, text: f"- [ ] {text}",
    "bold": lambda number, text: f"{number}. **{text}**",
    "italics": lambda number, text: f"*{text}*",
    "indented": lambda number, text: f"   - {text}",
    "row": lambda number, text: f"| {number} | {text} |",
    "plain": lambda number, text: text,
}

things = st.sampled_from(["star", "red circle", "sign that says NO", "first of two dogs", "3 by 3 grid"])
verbs = st.sampled_from(["Is there a {}?", "Does the image show the {}?", "Can a {} be seen at b2?"])
questions = st.lists(st.builds(str.format, verbs, things), min_size=1, max_size=6, unique=True)


def wrap(text: str, names: list[str]) -> str:
    for name in names:
        # A reply begins with its reasoning, whatever else is around it.
        text = WRAPPERS[name](text)
    return text


def in_order(names: list[str]) -> list[str]:
    """Reasoning and control tokens come last, because models put them outermost."""
    outer = [
        "windows",
        "control token",
        "channels",
        "empty reasoning",
        "reasoning",
        "reasoning without a start",
    ]
    return sorted(names, key=lambda name: outer.index(name) + 1 if name in outer else 0)


@given(asked=questions, item=st.sampled_from(sorted(ITEMS)), names=wrapped)
def test_a_wrapped_checklist_reads_like_the_bare_one(asked: list[str], item: str, names: list[str]) -> None:
    listed = "\n".join(ITEMS[item](number, question) for number, question in enumerate(asked, 1))
    assert read_checklist(wrap(listed, in_order(names))) == asked


@given(asked=questions, names=wrapped, indent=st.sampled_from([None, 2]), shape=st.sampled_from("ldo"))
def test_a_checklist_in_json_reads_like_the_bare_one(
    asked: list[str], names: list[str], indent: int | None, shape: str
) -> None:
    objects = [{"id": number, "question": question} for number, question in enumerate(asked, 1)]
    value = {"l": asked, "d": {"checklist": asked}, "o": objects}[shape]
    assert read_checklist(wrap(json.dumps(value, indent=indent), in_order(names))) == asked


answers = st.sampled_from(
    ["Yes", "yes.", "**No**", "no", "No, it is blue.", "Answer: yes", "The answer is no."]
)


@given(answer=answers, names=wrapped)
def test_a_wrapped_answer_reads_like_the_bare_one(answer: str, names: list[str]) -> None:
    bare, read = read_yes_no(answer), read_yes_no(wrap(answer, in_order(names)))
    assert bare is not None
    assert read is not None
    assert read.answer == bare.answer


@given(
    place=st.sampled_from(["first", "second"]),
    form=st.sampled_from(["{}", "**{}**", "The {} one.", "Answer: {}", "The {} is better."]),
    names=wrapped,
)
def test_a_wrapped_preference_reads_like_the_bare_one(place: str, form: str, names: list[str]) -> None:
    assert read_preference(wrap(form.format(place), in_order(names))) == place


@given(
    said=st.lists(answers, min_size=2, max_size=8),
    item=st.sampled_from(["dot", "parenthesis", "both", "Q", "row"]),
    names=wrapped,
)
def test_wrapped_answers_read_one_by_one(said: list[str], item: str, names: list[str]) -> None:
    listed = "\n".join(ITEMS[item](number, text) for number, text in enumerate(said, 1))
    read = read_answers(wrap(listed, in_order(names)), len(said))
    assert [each and each.answer for each in read] == [
        (read_yes_no(text) or YesNo(True)).answer for text in said
    ]


@given(said=st.lists(answers, min_size=2, max_size=6), lost=st.integers(0, 5), twice=st.booleans())
def test_a_number_that_is_missing_or_doubled_leaves_its_item_alone_unread(
    said: list[str], lost: int, twice: bool
) -> None:
    lost %= len(said)
    rows = [f"{number}. {text}" for number, text in enumerate(said, 1)]
    rows[lost : lost + 1] = [rows[lost]] * 2 if twice else []
    read = read_answers("\n".join(rows), len(said))
    assert [index for index, each in enumerate(read) if each is None] == [lost]


murk = st.sampled_from(
    [
        "Maybe.",
        "It is hard to tell.",
        "No doubt the sky is blue.",
        "The first step is to look.",
        "Both have merit.",
    ]
)


@given(sentences=st.lists(murk, max_size=5), names=wrapped)
def test_a_reply_without_a_clear_answer_is_not_read(sentences: list[str], names: list[str]) -> None:
    text = wrap(" ".join(sentences), in_order(names))
    assert read_checklist(text) == []
    assert read_yes_no(text) is None
    assert read_preference(text) is None
    assert read_answers(text, 2) == [None, None]


@given(one=answers, other=answers, joint=st.sampled_from([" ", "\n", "\n\n", " But then: "]))
def test_two_answers_are_read_only_if_they_agree(one: str, other: str, joint: str) -> None:
    agreed = [(read_yes_no(text) or YesNo(True)).answer for text in (one, other)]
    read = read_yes_no(f"{one}{joint}{other}")
    assert read is None or agreed == [read.answer] * 2


@given(text=st.text(alphabet="yesno YESNO.,:?/|-*\n\"'[]{}<>1 23firstecond", max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    assert all(question for question in read_checklist(text))
    assert len(read_answers(text, 3)) == 3
    assert read_preference(text) in ("first", "second", None)
    assert read_yes_no(text) is None or isinstance(read_yes_no(text), YesNo)
