"""Parses which of two answers a model prefers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from imug_tts.final_text import final_text
from imug_tts.judges._lines import json_in
from imug_tts.judges._sentences import FINAL, LABEL, is_doubtful, sentences, states

__all__ = ["Place", "read_preference"]

Place = Literal["first", "second"]

_KEYS: Final = (
    *("answer", "choice", "preference", "preferred", "winner", "better", "best", "verdict", "decision"),
    *("result", "final_answer"),
)
_THING: Final = "(?:one|image|answer|picture|option|candidate|response|drawing|attempt|result|version)"
_NOUN: Final = rf"(?:\s+{_THING}\b(?!['’]s))?"
_PLACE: Final = rf"(?:the\s+)?(first|second)\b(?!-\w|['’]s){_NOUN}"
_CLEAR: Final = (
    r"[\"'”’)\]}]*(?=\s*$|\s*[.!;。！；]|\s*[(（][^()（）]*[)）]\W*$|\s*(?:—|–|:)\s*\w|\s+-\s"
    r"|,?\s+(?:because|since|as|over|by\s+far)\b|,\s*(?:clearly|definitely|obviously|without|easily)\b)"
)
"""What may follow a preferred answer. A comma needs a reason: "First, let me look ..." only counts steps."""
_BETTER: Final = (
    r"(?:(?:clearly|definitely|much|slightly|far|significantly|marginally|overall|the|a|bit|little|somewhat)\s+)*"
    r"(?:better|best|preferable|preferred|superior|winner)\b(?!-\w)"
)
_CHOOSE: Final = r"(?:prefer|choose|pick|select|favou?r|vote\s+for|go\s+with|say)"
_ALONE: Final = re.compile(rf"^\W*(?:the\s+)?(first|second)\b(?!-\w|['’]s){_NOUN}{_CLEAR}", re.IGNORECASE)
""""First" or "second" at the start of a sentence; the rest of the sentence must not contradict it."""
_SAID: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"\b(?:{LABEL}|(?:better|best|preferred)(?:\s+{_THING})?)\b\W*(?:is\b\W*)?{_PLACE}{_CLEAR}",
        rf"\bi(?:['’]d|\s+would|\s+will|['’]ll)?\s+{_CHOOSE}\s+{_PLACE}{_CLEAR}",
        rf"{_PLACE}\s+(?:is|looks|seems|does|performs|comes\s+out)\s+{_BETTER}",
        rf"{_PLACE}\s+(?:clearly\s+)?wins\b",
    )
)
_CAPTION: Final = re.compile(
    rf"^\W*(?:the\s+)?(first|second)(?P<noun>{_NOUN})\s*(?:[:–—]|-\s)", re.IGNORECASE
)
"""Start of a sentence that may only describe an answer: "First image: a star"."""
_FAULT: Final = re.compile(
    r"\b(?:no|not|never|lacks?|lacking|missing|misses|missed|worse|worst|fails?|failed|failing|wrong|inferior"
    r"|loses|lost|incorrect|inaccurate|poor|bad|broken|ignores?|omits?|forgets?|too|less)\b|n['’]t\b",
    re.IGNORECASE,
)
_OTHER: Final = {
    "first": re.compile(r"\bsecond\b", re.IGNORECASE),
    "second": re.compile(r"\bfirst\b", re.IGNORECASE),
}
_CHOICE: Final = re.compile(
    r"\W?\bfirst\W{0,3}\s*(?:/|\bor\b|\|)\s*\W{0,2}(?:the\s+)?second\b\W?", re.IGNORECASE
)
_TIE: Final = re.compile(
    r"\b(?:ties?|tied|draw between|equally (?:good|well|bad)|both are (?:equal|the same)|no difference)\b",
    re.IGNORECASE,
)
_TAKEN_BACK: Final = re.compile(
    r"\b(?:if|unless|or (?:the )?(?:first|second)|maybe|perhaps|not sure|wait|depending|depends)\b",
    re.IGNORECASE,
)


class _Stated(NamedTuple):
    place: Place
    at: int
    """The index of the sentence."""


def read_preference(reply: str) -> Place | None:
    """Return the answer that a reply prefers; None if that is unclear, or a tie.

    A preference is "first" or "second" alone ("The first one, because ..."), after a label ("Answer: the
    second"), or as the answer that is better, wins or is preferred. A reply that prefers both is unclear,
    except that a last sentence "Final answer: ..." overrides what precedes it.
    """
    text = final_text(reply)
    found = json_in(text)
    if found:
        around = "".join([text[: found[0].start], text[found[-1].end :]])
        return _from_json(found[0].value) if len(found) == 1 and not _places(around) else None
    return _read_prose(_CHOICE.sub(" ", text))


def _from_json(value: Any) -> Place | None:
    if isinstance(value, str):
        return read_preference(value)
    if not isinstance(value, dict):
        return None
    by_key = {key.lower().replace(" ", "_"): item for key, item in value.items()}
    named = [item for key in _KEYS if isinstance(item := by_key.get(key), str)]
    preferred = {read_preference(item) for item in named}
    return preferred.pop() if len(preferred) == 1 else None


def _read_prose(text: str) -> Place | None:
    parts = sentences(text)
    captions = _captions(parts)
    said = [place for at, part in enumerate(parts) for place in _stated_in(part, at, at in captions)]
    if not said or _TIE.search(text):
        return None
    first, last = said[0], said[-1]
    if any(_TAKEN_BACK.search(parts[each.at]) for each in said):
        return None
    if last.at == len(parts) - 1 and FINAL.match(parts[-1]):
        return None if first.at == 0 and first.place != last.place else last.place
    return first.place if len({each.place for each in said}) == 1 else None


def _captions(parts: Sequence[str]) -> set[int]:
    """Return the indices of sentences that only describe an answer.

    These are sentences with a noun before the colon, or all captions if both answers have one.
    """
    found = {at: match for at, part in enumerate(parts) if (match := _CAPTION.match(part))}
    both = len({_place(match) for match in found.values()}) == 2
    return {at for at, match in found.items() if both or match["noun"]}


def _stated_in(sentence: str, at: int, is_caption: bool) -> list[_Stated]:
    if not states(sentence):
        return []
    found = [match for form in _SAID for match in form.finditer(sentence)]
    alone = _ALONE.match(sentence)
    if alone and not is_caption and _supports(_place(alone), sentence[alone.end() :]):
        found.append(alone)
    return [_Stated(_place(match), at) for match in found if not is_doubtful(sentence[: match.start(1)])]


def _place(match: re.Match[str]) -> Place:
    return "first" if match[1].lower() == "first" else "second"


def _supports(place: Place, rest: str) -> bool:
    """Return whether the text after a preference supports it: faults are found in the other answer only."""
    other = _OTHER[place].search(rest)
    before = rest[: other.start()] if other else rest
    if _FAULT.search(before):
        return False
    compared = re.search(r"\b(?:than|over|to)\s+(?:the\s+)?$", before, re.IGNORECASE)
    return other is None or compared is not None or _FAULT.search(rest[other.end() :]) is not None


def _places(text: str) -> list[str]:
    return re.findall(r"\b(?:first|second)\b", text, re.IGNORECASE)
