"""Parses the answers to several numbered questions in one reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from imug_tts.final_text import final_text
from imug_tts.judges._lines import Line, json_in, lines
from imug_tts.judges._yes_no import YesNo, from_json, read_yes_no

__all__ = ["read_answers"]

_NEXT: Final = re.compile(
    r"(?<=[\w.!)])[,;.]?[ \t]+(?=(?:q(?:uestion)?\s*)?\(?\d{1,3}\s*[).:]\s*(?:yes|no)\b)", re.IGNORECASE
)
"""Start of the next numbered answer on the same line."""
_NUMBERS: Final = (
    *("number", "id", "question_number", "question_id", "index", "no", "n", "q", "item", "point"),
    *("point_id", "question"),
)
_KEY: Final = re.compile(r"(?:q|question|item|check|point|answer)?[\s_#.-]*(\d{1,3})[.)]?", re.IGNORECASE)


def read_answers(reply: str, count: int) -> list[YesNo | None]:
    """Return the answers to questions 1 to `count`; None for each unclear answer.

    An answer is unclear if its number is missing or occurs twice. In a reply without any number, exactly
    `count` clear answers, one per line, are taken in order. If a number 0 occurs, the reply counts from 0,
    and all answers are unclear.
    """
    text = final_text(reply)
    found = json_in(text)
    if found:
        values = [each.value for each in found]
        return _from_json(values[0] if len(values) == 1 else values, count)
    read = lines(_NEXT.sub("\n", text))
    if any(line.number is not None for line in read):
        return _by_number([(number, read_yes_no(said)) for number, said in _numbered(read)], count)
    if count == 1:
        return [read_yes_no(text)]
    return _in_order(read, count)


def _by_number(answers: Sequence[tuple[int, YesNo | None]], count: int) -> list[YesNo | None]:
    numbers = [number for number, _ in answers]
    if 0 in numbers:
        return [None] * count
    once = {number: answer for number, answer in answers if numbers.count(number) == 1}
    return [once.get(number) for number in range(1, count + 1)]


def _numbered(read: Sequence[Line]) -> Iterator[tuple[int, str]]:
    """Yield each number with the text after it; a paragraph after a clear answer is ignored."""
    number, said, closed = 0, "", True
    for line in read:
        if line.number is not None:
            if not closed or said:
                yield number, said
            number, said, closed = line.number, line.text.replace(" | ", "\n"), False
        elif not closed and line.after_gap and read_yes_no(said) is not None:
            closed = True
        elif not closed:
            said = f"{said}\n{line.text}"
    if not closed or said:
        yield number, said


def _in_order(read: Sequence[Line], count: int) -> list[YesNo | None]:
    """Return one answer per line, without an introduction (ends with a colon) and a closing paragraph."""
    texts = list(read[1:] if read and read[0].text.endswith((":", "：")) else read)
    if len(texts) > count and texts[count].after_gap:
        del texts[count:]
    answers = [read_yes_no(line.text) for line in texts]
    return answers if len(answers) == count and None not in answers else [None] * count


def _from_json(value: Any, count: int) -> list[YesNo | None]:
    if isinstance(value, dict):
        numbered = {
            int(found[1]): item for key, item in value.items() if (found := _KEY.fullmatch(key.strip()))
        }
        nested = [item for item in value.values() if isinstance(item, list | dict)]
        if numbered:
            return _by_number([(number, from_json(item)) for number, item in numbered.items()], count)
        if len(nested) == 1:
            return _from_json(nested[0], count)
        asked = all(key.rstrip().endswith("?") for key in value)
        return _from_list([*value.values()] if asked else [value], count)
    return _from_list(value, count) if isinstance(value, list) else [None] * count


def _from_list(items: Sequence[Any], count: int) -> list[YesNo | None]:
    numbers = [_number_of(item) for item in items]
    answers = [from_json(item) for item in items]
    numbered = [(n, answer) for n, answer in zip(numbers, answers, strict=True) if n is not None]
    if numbered:
        return _by_number(numbered, count)
    return answers if len(items) == count else [None] * count


def _number_of(item: Any) -> int | None:
    """Return the number in one of the usual keys of an object; None if it has none."""
    if not isinstance(item, dict):
        return None
    by_key = {key.lower().replace(" ", "_"): value for key, value in item.items()}
    for key in _NUMBERS:
        named = by_key.get(key)
        if isinstance(named, int | str) and not isinstance(named, bool):
            found = _KEY.fullmatch(str(named).strip())
            if found:
                return int(found[1])
    return None
