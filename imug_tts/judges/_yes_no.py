"""Parses yes or no in a model's reply."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from imug_tts.final_text import final_text
from imug_tts.judges._lines import json_in
from imug_tts.judges._sentences import FINAL, LABEL, is_doubtful, sentences, states

__all__ = ["EXPLANATIONS", "VERDICTS", "YesNo", "from_json", "read_yes_no"]

VERDICTS: Final = ("answer", "verdict", "result", "response", "judgment", "decision", "final_answer", "value")
EXPLANATIONS: Final = ("explanation", "reason", "reasoning", "rationale", "comment", "why", "details", "note")

_CLEAR: Final = (
    r"(yes|no)\b(?!-\w)(?!\.\s?\d)[\"'”’)\]}]*"
    r"(?=\s*$|\s*[.,;:!…。，；：！—–\-✅❌✓✔]|\s*[(（][^()（）]*[)）]\W*$"
    r"|\s+(?:it|there|the|this|they|because|since)\b)"
)
""""Yes" or "no" as an answer. Before a noun, "no" is only a quantity: "no doubt", "no other objects"."""
_ADVERBS: Final = (
    r"(?:(?:absolutely|definitely|clearly|certainly|obviously|unfortunately|sadly|sorry|well|okay|ok|sure|hmm"
    r"|so|therefore|thus|hence|overall|finally|in short|in conclusion|to conclude|a|ans)\b\W+)?"
)
_FORMS: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"^\W*{_ADVERBS}{_CLEAR}",
        rf"\b{LABEL}\b(?:\s+to\s+(?:the|this|your)\s+question)?\W*(?:(?:is|remains)\b\W*)?"
        rf"(?:(?:an?|clear|clearly|definitely|definite|simply|still|thus|therefore)\b\W*)*{_CLEAR}",
        rf"\b(?:i(?:['’]d|\s+would|\s+will|['’]ll)?\s+(?:have\s+to\s+)?(?:say|answer|go\s+with)"
        rf"|(?:it|that|this)(?:\s+is|['’]s))(?:\s+an?)?(?:\s+(?:clear|definite))?\W+{_CLEAR}",
    )
)
_LEADING, _LABELLED = 0, 1
_CHOICE: Final = re.compile(
    r"\W?\byes\W{0,3}\s*(?:/|\bor\b|\|)\s*\W{0,2}no\b\W?|\W?\bno\W{0,3}\s*(?:/|\bor\b|\|)\s*\W{0,2}yes\b\W?",
    re.IGNORECASE,
)
"""The choice "yes or no" of the question, which is no answer."""
_TAKEN_BACK: Final = re.compile(
    r"\W*(?:(?:and|or|but|then|also|only)\W+)*(?:yes|no(?=\W*$)|if|unless|assuming|provided|depending|depends"
    r"|maybe|perhaps|possibly|partly|partially|almost|somewhat|sort of|kind of|in part"
    r"|wait|actually|hold on|scratch|hmm|let me|not sure|unsure"
    r"|(?:i['’]?m|i am) not (?:sure|certain)|it depends|(?:i )?can(?:no|['’])t (?:tell|say|determine))\b",
    re.IGNORECASE,
)
_UNSURE: Final = re.compile(
    r"\b(?:not (?:sure|certain)|unsure|take (?:that|it) back|second thoughts?|scratch that|correction)\b",
    re.IGNORECASE,
)
_OTHER: Final = {
    True: re.compile(r"\bno\b(?=\W*$|[.,;:!?)\"'”’])", re.IGNORECASE),
    False: re.compile(r"\byes\b", re.IGNORECASE),
}
"""The opposite answer, which must not occur beside an answer. "No" before a noun may occur beside a yes."""


class YesNo(NamedTuple):
    """A clear yes or no, with its explanation."""

    answer: bool
    explanation: str = ""
    """The other text of the reply, on one line."""


class _Stated(NamedTuple):
    answer: bool
    at: int
    """The index of the sentence."""
    binding: bool
    """Whether it begins the reply or has a label, so that a later final answer cannot override it."""
    before: str
    after: str


def read_yes_no(reply: str) -> YesNo | None:
    """Return the answer of a reply; None if it is unclear.

    An answer is "yes" or "no" at the start of a sentence, after a label ("Answer: no", "the answer is yes")
    or after "I would say". A reply with both is unclear, except that a last sentence "Final answer: ..."
    overrides what precedes it, unless the reply began with the opposite answer or labelled it.
    """
    text = final_text(reply)
    found = json_in(text)
    if found:
        around = "".join([text[: found[0].start], text[found[-1].end :]])
        silent = not re.search(r"\b(?:yes|no)\b", around, re.IGNORECASE)
        return from_json(found[0].value) if len(found) == 1 and silent else None
    return _read_prose(_CHOICE.sub(" ", text))


def from_json(value: Any) -> YesNo | None:
    """Return the answer in a JSON value: a boolean, a clear text, or an object with one of them."""
    if isinstance(value, bool):
        return YesNo(value)
    if isinstance(value, str):
        return read_yes_no(value)
    if isinstance(value, list):
        return from_json(value[0]) if len(value) == 1 else None
    return _from_object(value) if isinstance(value, dict) else None


def _from_object(value: Mapping[str, Any]) -> YesNo | None:
    by_key = {key.lower().replace(" ", "_"): item for key, item in value.items()}
    named = [by_key[key] for key in VERDICTS if key in by_key]
    answers = [from_json(item) for item in named or (by_key.values() if len(by_key) == 1 else ())]
    if not answers or None in answers or len({read.answer for read in answers if read}) > 1:
        return None
    said = next((str(by_key[key]) for key in EXPLANATIONS if by_key.get(key)), "")
    return answers[0] and answers[0]._replace(explanation=" ".join(said.split()) or answers[0].explanation)


def _read_prose(text: str) -> YesNo | None:
    parts = sentences(text)
    said = [answer for at in range(len(parts)) if (answer := _answer_in(parts, at))]
    if not said or any(_TAKEN_BACK.match(each.after) for each in said) or _UNSURE.search(text):
        return None
    last = said[-1]
    if last.at == len(parts) - 1 and FINAL.match(parts[-1]):
        taken_back = any(each.binding and each.answer != last.answer for each in said)
        return None if taken_back else YesNo(last.answer, _explanation(parts, last))
    return None if _is_contradicted(parts, said) else YesNo(said[0].answer, _explanation(parts, said[0]))


def _is_contradicted(parts: Sequence[str], said: Sequence[_Stated]) -> bool:
    """Return whether the opposite answer occurs anywhere in the reply."""
    answers = {each.at: f"{each.before}\n{each.after}" for each in said}
    rest = [answers.get(at, part) for at, part in enumerate(parts)]
    other = _OTHER[said[0].answer]
    if said[0].answer and re.match(r"\W*no\b", parts[0], re.IGNORECASE):
        return True
    return any(each.answer != said[0].answer for each in said) or any(map(other.search, rest))


def _answer_in(parts: Sequence[str], at: int) -> _Stated | None:
    """Return the answer that a sentence states; None for questions and for replies to own questions."""
    sentence = parts[at]
    if not states(sentence) or (at > 1 and not states(parts[at - 1])):
        return None
    for number, form in enumerate(_FORMS):
        found = form.search(sentence)
        if found and not is_doubtful(sentence[: found.start(1)]):
            before, after = sentence[: found.start(1)], sentence[found.end(1) :]
            binding = number == _LABELLED or (number == _LEADING and at == 0)
            return _Stated(found[1].lower() == "yes", at, binding, before, after)
    return None


def _explanation(parts: Sequence[str], said: _Stated) -> str:
    """Return the text after the answer; for an answer at the end, the sentence before it."""
    after = re.sub(r"^\W+", "", " ".join([said.after, *parts[said.at + 1 :]])).strip()
    return after or (parts[said.at - 1] if said.at else "")
